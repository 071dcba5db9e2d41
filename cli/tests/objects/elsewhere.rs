//! Objects that another Worker uses: the same objects, wherever they are asked from; both processes sleep, wake, are replaced and
//! die without the other's going down with them.

use std::{cell::Cell, time::Duration};

use futures_util::future::join_all;
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Message, Process, Script, Server, WebSocket, wait_until, within};

use crate::{
    handover::Ledger,
    support::{
        SOON, ask, ask_of, binding, binding_elsewhere, caller, counter, increment, namespace, signal,
        until_processes, updated_counter, with_migrations,
    },
};

const WRITERS: usize = 8;
const DEPLOYMENTS: usize = 3;
/// Many times the idle time of these tests, and more than workerd keeps an instance that nobody calls.
const HIBERNATES_AFTER: Duration = Duration::from_secs(13);

async fn both(settings: &str) -> Server {
    let server = Server::builder().settings(settings).start().await;
    server.deploy(&counter("one")).await;
    server.deploy(&caller()).await;
    server
}

const SLEEPY: &str = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";

#[tokio::test]
async fn an_object_is_the_same_for_its_own_worker_and_for_another() {
    let server = both("").await;
    for n in [1, 4] {
        let elsewhere = ask_of(&server, "caller", "/a").await;
        let fetched = ask_of(&server, "caller", "/a/fetch").await;
        let own = ask(&server, "/a").await;
        assert_eq!([&elsewhere["n"], &fetched["n"], &own["n"]], [&json!(n), &json!(n + 1), &json!(n + 2)]);
        for seen in [&elsewhere, &fetched] {
            assert_eq!(
                [&seen["name"], &seen["release"], &seen["id"]],
                [&json!("a"), &json!("one"), &own["id"]]
            );
        }
    }
    // One home, of its Worker; in it one namespace with one object.
    let objects = server.folder().path().join("durable-objects");
    let list = |path: &std::path::Path| {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let homes = list(&objects).into_iter().filter(|path| path.is_dir()).collect::<Vec<_>>();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let kept = list(&homes[0].join(namespace(&server).await));
    let files = kept.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sqlite"));
    assert_eq!(files.filter(|path| !path.ends_with("metadata.sqlite")).count(), 1, "{kept:?}");
    server.stop().await;
}

#[tokio::test]
async fn both_processes_sleep_and_wake_by_themselves() {
    let server = both(SLEEPY).await;
    for n in [1, 2] {
        assert_eq!(ask_of(&server, "caller", "/a").await["n"], n);
        assert_eq!(server.children().len(), 2);
        until_processes(&server, 0).await;
    }
    // That the caller is awake, and has an object there, keeps no owner awake.
    for path in ["/a", "/a/fetch"] {
        let _ = ask_of(&server, "caller", path).await;
        let owner = process_of(&server, "counter").await;
        let alone = async {
            while server.children().iter().any(|child| child.pid == owner.pid) {
                let _ = ask_of(&server, "caller", "/a/nothing").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within("the end of an owner without calls", SOON, alone).await;
        assert_eq!(server.children().len(), 1, "the caller is still awake");
    }
    // A call or a request under way does.
    for path in ["/b/instance?ms=2500", "/b/fetch?ms=2500"] {
        let _ = ask_of(&server, "caller", path).await;
    }
    let owner = process_of(&server, "counter").await;
    assert_eq!(ask_of(&server, "caller", "/b/instance?ms=2500").await["instance"], 1);
    assert!(owner.is_alive());
    server.stop().await;
}

#[tokio::test]
async fn deployments_of_the_owner_under_load_from_elsewhere_fail_no_request_and_lose_no_count() {
    let server = both("").await;
    let (ledger, is_over) = (Ledger::default(), Cell::new(false));
    let writers = ["caller", "counter"].into_iter().cycle().take(WRITERS);
    let writers = join_all(writers.map(|script| ledger.write(&server, script, || is_over.get(), false)));
    let deploy = async {
        for release in 1..=DEPLOYMENTS {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.deploy(&updated_counter(&release.to_string())).await;
            server.deploy(&caller()).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        is_over.set(true);
    };
    tokio::join!(writers, deploy);
    ledger.check(increment(&server, "shared").await);
    assert_eq!(ask_of(&server, "caller", "/a").await["release"], DEPLOYMENTS.to_string());
    server.stop().await;
}

#[tokio::test]
async fn a_killed_owner_is_a_lost_connection_to_its_callers_and_the_next_call_finds_the_next_one() {
    let server = both("").await;
    expect_ends(&server);
    for by in ["call", "fetch"] {
        let _ = ask_of(&server, "caller", "/a").await;
        let owner = process_of(&server, "counter").await;
        let path = format!("/a/failure?by={by}");
        let (failure, ()) = tokio::join!(ask_of(&server, "caller", &path), async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            signal(&owner, Signal::KILL);
        });
        assert_eq!(failure, json!({ "message": "Network connection lost.", "retryable": true }), "{by}");
    }
    assert_eq!(ask_of(&server, "caller", "/a").await["n"], 3);
    server.stop().await;
}

#[tokio::test]
async fn kills_of_the_owner_under_load_from_elsewhere_lose_nothing_acknowledged() {
    let server = both("").await;
    expect_ends(&server);
    let _ = ask_of(&server, "caller", "/a").await;
    let (ledger, is_over) = (Ledger::default(), Cell::new(false));
    let writers = join_all((0..WRITERS).map(|_| ledger.write(&server, "caller", || is_over.get(), true)));
    let kills = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            signal(&process_of(&server, "counter").await, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        is_over.set(true);
    };
    tokio::join!(writers, kills);
    ledger.check(increment(&server, "shared").await);
    server.stop().await;
}

fn expect_ends(server: &Server) {
    // workerd hangs up on a request whose handler lets this error pass.
    let texts =
        ["ended unasked", "A Durable Object binding failed", "Worker threw exception", "without an answer"];
    for text in texts {
        server.log().expect(text);
    }
}

#[tokio::test]
async fn a_socket_to_an_object_elsewhere_hibernates_there_and_keeps_both_processes_awake() {
    let server = both(SLEEPY).await;
    let mut socket = server.websocket("caller.localhost", "/room").await;
    let first = say(&mut socket, "hello").await;
    tokio::time::sleep(HIBERNATES_AFTER).await;
    assert_eq!(server.children().len(), 2, "both are awake after many times the idle time");
    let later = say(&mut socket, "still there?").await;
    assert_eq!((&later["message"], &later["since"]), (&json!("still there?"), &first["since"]));
    assert_ne!(later["instance"], first["instance"], "another instance has the socket and its attachment");
    drop(socket);
    until_processes(&server, 0).await;

    // A deployment of the owner sends clients away, wherever they have come in.
    let mut socket = server.websocket("caller.localhost", "/room").await;
    let _ = say(&mut socket, "hello").await;
    server.deploy(&updated_counter("two")).await;
    let closed = within("a close frame", SOON, socket.next()).await;
    let Some(Message::Close(Some(frame))) = closed else { panic!("a close frame, not {closed:?}") };
    assert_eq!(u16::from(frame.code), 1012);
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn a_socket_between_objects_of_two_workers_keeps_both_processes_awake() {
    let server = Server::builder().settings(SLEEPY).start().await;
    server.deploy(&counter("one")).await;
    let listener = r#"
import { DurableObject } from "cloudflare:workers";
export class Listener extends DurableObject {
    async listen() {
        const { webSocket } = await this.env.COUNTER.getByName("room").fetch("http://x/", { headers: { Upgrade: "websocket" } });
        webSocket.accept();
        this.socket = webSocket;
    }
    say(text) {
        const heard = new Promise((resolve) => this.socket.addEventListener("message", ({ data }) => resolve(JSON.parse(data)), { once: true }));
        this.socket.send(text);
        return heard;
    }
}
export default {
    async fetch(request, env) {
        const listener = env.LISTENER.getByName("one");
        if (new URL(request.url).pathname === "/listen") await listener.listen();
        return Response.json(await listener.say("hello"));
    },
};"#;
    let script = Script::module("caller", listener)
        .binding(binding_elsewhere("COUNTER", "Counter", "counter"))
        .binding(binding("LISTENER", "Listener"));
    let migrations = json!({ "new_tag": "v1", "new_sqlite_classes": ["Listener"] });
    server.deploy(&with_migrations(script, migrations)).await;
    let first = ask_of(&server, "caller", "/listen").await;
    let processes = server.children();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(server.children(), processes, "both are awake after many times the idle time");
    assert_eq!(ask_of(&server, "caller", "/").await["since"], first["since"]);
    server.stop().await;
}

#[tokio::test]
async fn a_binding_needs_a_class_that_is_there_and_says_so_when_it_has_gone() {
    let server = Server::start().await;
    let refused = async |message: &str| {
        let error = server.try_deploy(&caller()).await.expect(400).json()["errors"][0].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(10_061), &json!(message)));
    };
    refused("Cannot create binding for class 'Counter' in script 'counter' that does not exist.").await;
    server.deploy(&Script::module("counter", "export default {};")).await;
    refused(
        "Cannot create binding for class 'Counter' in script 'counter' because it is not currently configured to \
         implement Durable Objects. Configure a migration in that script's configuration to add this class.",
    )
    .await;
    server.deploy(&counter("one")).await;
    server.deploy(&caller()).await;
    assert_eq!(ask_of(&server, "caller", "/a").await["n"], 1);

    let id = namespace(&server).await;
    let mut bound = binding_elsewhere("COUNTER", "Counter", "counter");
    bound["namespace_id"] = json!(id);
    let get =
        async |path: &str| server.api(Method::GET, path, None).await.expect(200).json()["result"].clone();
    let settings = get("/accounts/{account}/workers/scripts/caller/settings").await;
    assert_eq!(settings["bindings"], json!([bound]));
    let references = get("/accounts/{account}/workers/scripts/counter/references").await;
    let reference = json!({ "service": "caller", "environment": "production",
        "durable_object_namespace_id": id, "durable_object_namespace_name": "counter_Counter" });
    assert_eq!(references["durable_objects"], json!([reference]));
    let references = get("/accounts/{account}/workers/scripts/caller/references").await;
    assert_eq!(references["services"], json!({ "incoming": [], "outgoing": [] }));

    // A renamed class is the same namespace; one that is deleted and made anew is another.
    server.deploy(&renamed()).await;
    assert_eq!(ask_of(&server, "caller", "/a").await["n"], 2);
    let script = "/accounts/{account}/workers/scripts/counter?force=true";
    let _ = server.api(Method::DELETE, script, None).await.expect(200);
    for text in ["A Durable Object binding failed", "Worker threw exception"] {
        server.log().expect(text);
    }
    let gone = async || {
        for by in ["call", "fetch"] {
            let failure = ask_of(&server, "caller", &format!("/a/failure?by={by}")).await;
            let message = failure["message"].as_str().expect("a message");
            assert!(
                message.contains("class \"Counter\" of Worker \"counter\"") && message.contains("deleted"),
                "{message}"
            );
        }
    };
    gone().await;
    server.deploy(&counter("again")).await;
    gone().await;
    server.deploy(&caller()).await;
    assert_eq!(ask_of(&server, "caller", "/a").await["n"], 1);
    server.stop().await;
}

fn renamed() -> Script {
    let mut script = updated_counter("two");
    let source = String::from_utf8(script.modules[0].content.clone()).expect("text");
    script.modules[0].content = source.replace("class Counter", "class Teller").into_bytes();
    script.metadata["bindings"] = json!([binding("COUNTER", "Teller")]);
    let rename = json!({ "old_tag": "v1", "new_tag": "v2",
        "steps": [{ "renamed_classes": [{ "from": "Counter", "to": "Teller" }] }] });
    with_migrations(script, rename)
}

#[tokio::test]
async fn nothing_of_the_gate_can_be_reached_but_through_a_namespace() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    let source = r#"
import { connect } from "cloudflare:sockets";
export default {
    async fetch(request, env) {
        const address = encodeURIComponent(JSON.stringify({ id: env.COUNTER.idFromName("a").toString(), name: "a", host: null }));
        const headers = { "x-skerry-object": address, "x-skerry-binding": "COUNTER" };
        const tell = async (ask) => { try { return await ask(); } catch (error) { return String(error.message); } };
        const heard = async (fetcher) => (await (await fetcher("http://counter.localhost/nobody/nothing", { headers })).text());
        return Response.json({
            service: await tell(() => heard((...args) => env.SERVICE.fetch(...args))),
            outside: await tell(() => heard(fetch)),
            property: await tell(() => env.SERVICE["skerry:object:" + decodeURIComponent(address)].increment()),
            socket: await tell(async () => { const { readable } = env.SERVICE.connect("COUNTER.binding:1"); return new Response(readable).text(); }),
            environment: Object.keys(env),
            own: await tell(() => env.COUNTER.getByName("a").env),
            gate: await tell(() => env.COUNTER.getByName("a")["skerry:object:" + decodeURIComponent(address)].increment()),
        });
    },
};"#;
    let mut script =
        Script::module("caller", source).binding(binding_elsewhere("COUNTER", "Counter", "counter"));
    script = script.binding(json!({ "type": "service", "name": "SERVICE", "service": "counter" }));
    server.deploy(&script).await;
    server.log().expect("Worker threw exception");
    let seen = ask_of(&server, "caller", "/").await;
    assert_eq!(seen["environment"], json!(["COUNTER", "SERVICE"]));
    assert_eq!(
        (&seen["service"], &seen["outside"]),
        (&json!("null"), &json!("null")),
        "the Worker itself answers"
    );
    for tried in ["property", "own", "gate"] {
        assert!(
            seen[tried].as_str().is_some_and(|said| said.contains("does not implement")),
            "{tried}: {seen}"
        );
    }
    assert!(seen["socket"].is_string(), "{seen}");
    // No object was asked.
    assert_eq!(increment(&server, "a").await, 1);
    let mut through =
        Script::module("caller", "export default { fetch: (request, env) => env.GATE.fetch(request) };");
    through = through
        .binding(json!({ "type": "service", "name": "GATE", "service": "counter", "entrypoint": "Gate" }));
    server.deploy(&through).await;
    server.log().expect("A service binding failed");
    let refused = server.get("caller.localhost", "/").await.expect(503).text();
    assert!(refused.contains("Gate"), "{refused}");
    server.stop().await;
}

/// The newest process of a Worker, as the log names it.
async fn process_of(server: &Server, script: &str) -> Process {
    let mark = format!("Worker started script={script} ");
    let find = || {
        let lines = server.log().lines();
        let started = lines.iter().rev().find(|line| line.contains(&mark))?;
        let pid: u32 = started.split_once(" pid=")?.1.split(' ').next()?.parse().ok()?;
        server.children().into_iter().find(|child| child.pid == pid)
    };
    wait_until("the Worker's process", SOON, || find().is_some()).await;
    find().expect("it runs")
}

async fn say(socket: &mut WebSocket, text: &str) -> Value {
    socket.send(text).await;
    serde_json::from_str(&socket.next_text().await).expect("JSON")
}
