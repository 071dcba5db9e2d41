//! What passes between two Workers: requests, WebSockets, and everything that calls (JS RPC) can carry.

use http::{Method, Request, header::HOST};
use serde_json::json;
use testkit::{Message, Script, Server};

use crate::support::{ask, asking, entrypoint, service};

const TARGET: &str = r#"
import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
class Counter extends RpcTarget {
    #count;
    constructor(start) { super(); this.#count = start; }
    add(n) { return (this.#count += n); }
    twin() { return new Counter(this.#count * 2); }
}
export default class extends WorkerEntrypoint {
    async fetch(request) {
        if (request.headers.get("Upgrade") === "websocket") {
            const [client, server] = Object.values(new WebSocketPair());
            server.accept();
            server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
            return new Response(null, { status: 101, webSocket: client });
        }
        return Response.json({
            method: request.method,
            url: request.url,
            cf: request.cf ?? null,
            body: await request.text(),
            internal: [...request.headers.keys()].filter((name) => name.startsWith("x-skerry-")),
        }, { status: 207, headers: { "x-answer": "kept" } });
    }
    echo(value) { return value; }
    fail() { throw new RangeError("too far"); }
    counter(start) { return new Counter(start); }
    async callBack(callback) { return `heard ${await callback("hello")}`; }
    stream() {
        return new ReadableStream({
            start(controller) {
                for (const part of ["a", "b", "c"]) controller.enqueue(new TextEncoder().encode(part));
                controller.close();
            },
            type: "bytes",
        });
    }
    page() { return new Response("a page", { status: 418, headers: { "x-page": "1" } }); }
    async length(stream) {
        let length = 0;
        for await (const part of stream) length += part.byteLength;
        return length;
    }
}
export class Named extends WorkerEntrypoint {
    who() { return { name: "Named", props: this.ctx.props ?? null }; }
    fetch() { return new Response("fetch of Named"); }
}"#;

#[tokio::test]
async fn a_request_arrives_with_its_body_and_cf_and_nothing_of_ours() {
    let server = Server::start().await;
    server.deploy(&Script::module("target", TARGET)).await;
    let body = r#"
        return env.TARGET.fetch("https://any.example/path?q=1", {
            method: "POST",
            body: await request.text(),
            cf: { colo: "XYZ", nested: { n: 1 } },
            headers: { "x-skerry-cf": '{"forged":1}', "x-skerry-proto": "ftp" },
        });"#;
    server.deploy(&asking("caller", body).binding(service("TARGET", "target"))).await;
    let text = "x".repeat(300_000);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(HOST, "caller.localhost")
        .body(text.clone().into());
    let answer = server.send(request.expect("a valid request")).await.expect(207);
    assert_eq!(answer.header("x-answer"), "kept");
    let wanted = json!({
        "method": "POST",
        "url": "https://any.example/path?q=1",
        "cf": { "colo": "XYZ", "nested": { "n": 1 } },
        "body": text,
        "internal": [],
    });
    assert_eq!(answer.json(), wanted);
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_passes_through_the_caller_to_the_target() {
    let server = Server::start().await;
    server.deploy(&Script::module("target", TARGET)).await;
    server
        .deploy(&asking("caller", "return env.TARGET.fetch(request);").binding(service("TARGET", "target")))
        .await;
    let mut socket = server.websocket("caller.localhost", "/").await;
    for text in ["one", "two"] {
        socket.send(text).await;
        assert_eq!(socket.next_text().await, format!("echo {text}"));
    }
    socket.send_message(Message::Close(None)).await;
    while socket.next().await.is_some() {}
    server.stop().await;
}

#[tokio::test]
async fn calls_carry_values_errors_stubs_callbacks_and_streams() {
    let server = Server::start().await;
    server.deploy(&Script::module("target", TARGET)).await;
    let body = r#"
        const { TARGET } = env;
        const value = { date: new Date(5), bytes: new Uint8Array([1, 2]), map: new Map([["k", [1n]]]) };
        const echoed = await TARGET.echo(value);
        const error = await TARGET.fail().catch((error) => error);
        using counter = await TARGET.counter(10);
        const page = await TARGET.page();
        const upload = new ReadableStream({
            type: "bytes",
            start(controller) { controller.enqueue(new Uint8Array(70000)); controller.close(); },
        });
        return {
            echoed: [echoed.date.getTime(), [...echoed.bytes], `${echoed.map.get("k")[0]}`],
            error: [error instanceof RangeError, error.message, error.remote === true],
            counter: [await counter.add(1), await counter.add(2)],
            pipelined: await TARGET.counter(3).twin().twin().add(1),
            callBack: await TARGET.callBack((word) => word.toUpperCase()),
            stream: await new Response(await TARGET.stream()).text(),
            upload: await TARGET.length(upload),
            page: [page.status, page.headers.get("x-page"), await page.text()],
            parallel: (await Promise.all(Array.from({ length: 1000 }, (_, n) => TARGET.echo(n)))).length,
        };"#;
    server.deploy(&asking("caller", body).binding(service("TARGET", "target"))).await;
    let wanted = json!({
        "echoed": [5, [1, 2], "1"],
        "error": [true, "too far", true],
        "counter": [11, 13],
        "pipelined": 13,
        "callBack": "heard HELLO",
        "stream": "abc",
        "upload": 70_000,
        "page": [418, "1", "a page"],
        "parallel": 1000,
    });
    for _ in 0..3 {
        assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), wanted);
    }
    server.stop().await;
}

#[tokio::test]
async fn each_named_entrypoint_has_the_props_of_its_own_binding() {
    let server = Server::start().await;
    server.deploy(&Script::module("target", TARGET)).await;
    let mut with_props = entrypoint("PROPS", "target", "Named");
    with_props["props"] = json!({ "tenant": "ada", "rights": ["read"] });
    let body = r#"
        return {
            plain: await env.PLAIN.who(),
            props: await env.PROPS.who(),
            fetch: await (await env.PLAIN.fetch("http://x/")).text(),
            together: (await Promise.all([env.PLAIN.who(), env.PROPS.who(), env.MAIN.echo(1)])).length,
        };"#;
    let caller = asking("caller", body);
    let bindings = [entrypoint("PLAIN", "target", "Named"), with_props, service("MAIN", "target")];
    server.deploy(&bindings.into_iter().fold(caller, Script::binding)).await;
    let wanted = json!({
        "plain": { "name": "Named", "props": {} },
        "props": { "name": "Named", "props": { "tenant": "ada", "rights": ["read"] } },
        "fetch": "fetch of Named",
        "together": 3,
    });
    assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), wanted);
    server.stop().await;
}

#[tokio::test]
async fn a_worker_can_call_itself_and_be_called_back_by_the_one_it_calls() {
    let server = Server::start().await;
    server.deploy(&asking("b", "return 'not yet';")).await;
    let a = asking(
        "a",
        r#"
        const left = Number(url.searchParams.get("left"));
        const next = url.pathname === "/self" ? env.SELF : env.B;
        if (left === 0) return [];
        const inner = await (await next.fetch(`http://x${url.pathname}?left=${left - 1}`)).json();
        return ["a", ...inner];"#,
    );
    server.deploy(&a.binding(service("SELF", "a")).binding(service("B", "b"))).await;
    let b = asking("b", r#"return ["b", ...await (await env.A.fetch(request)).json()];"#);
    server.deploy(&b.binding(service("A", "a"))).await;
    assert_eq!(ask(&server, "a", "/self?left=3").await.expect(200).json(), json!(["a", "a", "a"]));
    assert_eq!(ask(&server, "a", "/?left=2").await.expect(200).json(), json!(["a", "b", "a", "b"]));
    server.stop().await;
}
