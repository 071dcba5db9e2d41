//! What several tests use: a Worker with one class of objects, and a client that survives a broken connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Full};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testkit::{Answer, Connection, Process, Script, Server, wait_until, within};

/// How long one exchange may take before the test calls it hung.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(20);

/// How long something may take that happens "at once" on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A counter that notices if another instance of it is alive: each instance writes its own number, and answers only while
/// that stands.
const COUNTER: &str = r#"
import { DurableObject } from "cloudflare:workers";

const RELEASE = "RELEASE_NAME";

export class Counter extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        const { sql } = ctx.storage;
        sql.exec("CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY, n INTEGER, instance INTEGER)");
        sql.exec("INSERT OR IGNORE INTO state VALUES (1, 0, 0)");
        this.instance = sql.exec("UPDATE state SET instance = instance + 1 RETURNING instance").one().instance;
    }

    increment() {
        const { n, instance } = this.ctx.storage.sql.exec("UPDATE state SET n = n + 1 RETURNING n, instance").one();
        if (instance !== this.instance) throw new Error(`two instances: ${instance} and ${this.instance}`);
        return { n, release: RELEASE, name: this.ctx.id.name, id: this.ctx.id.toString() };
    }

    async instanceAfter(ms) {
        await scheduler.wait(ms);
        return { instance: this.instance, name: this.ctx.id.name };
    }

    async alarmIn(ms, failures = 0) {
        await this.ctx.storage.put("failures", failures);
        const due = Date.now() + ms;
        await this.ctx.storage.setAlarm(due);
        return due;
    }

    async alarm(info) {
        const fired = (await this.ctx.storage.get("fired")) ?? [];
        fired.push({ at: Date.now(), retries: info?.retryCount ?? 0 });
        await this.ctx.storage.put("fired", fired);
        await this.ctx.storage.sync();
        const failures = await this.ctx.storage.get("failures");
        if (fired.length <= failures) {
            // What is thrown undoes nothing that was synced.
            throw new Error("not yet");
        }
    }

    async fired() {
        return { fired: (await this.ctx.storage.get("fired")) ?? [], alarm: await this.ctx.storage.getAlarm() };
    }

    async fetch(request) {
        if (request.headers.get("Upgrade") !== "websocket") {
            await scheduler.wait(Number(new URL(request.url).searchParams.get("ms")));
            return Response.json(this.increment());
        }
        const [client, server] = Object.values(new WebSocketPair());
        this.ctx.acceptWebSocket(server);
        server.serializeAttachment({ since: this.instance });
        return new Response(null, { status: 101, webSocket: client });
    }

    webSocketMessage(socket, message) {
        const { since } = socket.deserializeAttachment();
        socket.send(JSON.stringify({ message, since, instance: this.instance, sockets: this.ctx.getWebSockets().length }));
    }

    webSocketClose(socket, code) {
        this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS goodbyes (code INTEGER)");
        this.ctx.storage.sql.exec("INSERT INTO goodbyes VALUES (?)", code);
    }
}
"#;

/// What asks it.
const FRONT: &str = r#"
export default {
    async fetch(request, env) {
        const { pathname, searchParams } = new URL(request.url);
        const [, name, call] = pathname.split("/");
        const object = env.COUNTER.getByName(name);
        if (request.headers.get("Upgrade") === "websocket") return object.fetch(request);
        if (call === "slow") await scheduler.wait(Number(searchParams.get("ms")));
        if (call === "nothing") return Response.json(null);
        if (call === "instance") return Response.json(await object.instanceAfter(Number(searchParams.get("ms"))));
        if (call === "fetch") return object.fetch(request);
        if (call === "failure") {
            const by = { call: () => object.instanceAfter(5000), fetch: () => object.fetch("http://x/?ms=5000") };
            try {
                await by[searchParams.get("by")]();
            } catch ({ message, retryable }) {
                return Response.json({ message, retryable });
            }
        }
        if (call === "alarm") return Response.json(await object.alarmIn(Number(searchParams.get("ms")), Number(searchParams.get("failures") ?? 0)));
        if (call === "fired") return Response.json(await object.fired());
        return Response.json(await object.increment());
    },
};"#;

/// The Worker `counter` with the class `Counter`, as first deployed.
pub(crate) fn counter(release: &str) -> Script {
    with_migrations(
        updated_counter(release),
        json!({ "new_tag": "v1", "steps": [{ "new_sqlite_classes": ["Counter"] }] }),
    )
}

/// The same, as deployed again.
pub(crate) fn updated_counter(release: &str) -> Script {
    let source = format!("{}{FRONT}", COUNTER.replace("RELEASE_NAME", release));
    Script::module("counter", &source).binding(binding("COUNTER", "Counter"))
}

/// A Worker `caller` that asks the objects of `counter`.
pub(crate) fn caller() -> Script {
    Script::module("caller", FRONT).binding(binding_elsewhere("COUNTER", "Counter", "counter"))
}

/// A binding to the class of another Worker.
pub(crate) fn binding_elsewhere(name: &str, class: &str, script: &str) -> Value {
    let mut binding = binding(name, class);
    binding["script_name"] = json!(script);
    binding
}

pub(crate) fn binding(name: &str, class: &str) -> Value {
    json!({ "name": name, "type": "durable_object_namespace", "class_name": class })
}

pub(crate) fn with_migrations(mut script: Script, migrations: Value) -> Script {
    script.metadata["migrations"] = migrations;
    script
}

/// What a path of the counter answers.
pub(crate) async fn ask(server: &Server, path: &str) -> Value {
    ask_of(server, "counter", path).await
}

/// What a path of a Worker answers.
pub(crate) async fn ask_of(server: &Server, script: &str, path: &str) -> Value {
    server.get(&format!("{script}.localhost"), path).await.expect(200).json()
}

/// The object's next number.
pub(crate) async fn increment(server: &Server, name: &str) -> u64 {
    ask(server, &format!("/{name}")).await["n"].as_u64().expect("a number")
}

/// The id of the only namespace.
pub(crate) async fn namespace(server: &Server) -> String {
    let path = "/accounts/{account}/workers/durable_objects/namespaces";
    let listed = server.api(http::Method::GET, path, None).await.expect(200).json();
    let [only] = listed["result"].as_array().expect("a list").as_slice() else { panic!("one of {listed}") };
    only["id"].as_str().expect("an id").to_owned()
}

/// A kept connection; one that breaks off is opened anew. An exchange that breaks off is `None`.
pub(crate) struct Client {
    address: String,
    host: String,
    connection: Option<Connection<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(server: &Server, script: &str) -> Self {
        let host = format!("{script}.localhost");
        Self { address: server.http().to_owned(), host, connection: None }
    }

    /// To the API.
    pub(crate) fn to_api(server: &Server) -> Self {
        Self { address: server.api_address().to_owned(), host: String::new(), connection: None }
    }

    pub(crate) async fn post(&mut self, path: &str) -> Option<Answer> {
        let request = Request::builder().method("POST").uri(path).header(HOST, &self.host);
        self.send(path, request.body(Full::new(Bytes::new())).expect("a valid request")).await
    }

    pub(crate) async fn send(&mut self, title: &str, request: Request<Full<Bytes>>) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address).await,
        };
        let answer = within(title, EXCHANGE_LIMIT, async {
            let (head, body) = connection.send(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: head.status, headers: head.headers, body })
        })
        .await?;
        self.connection = Some(connection);
        Some(answer)
    }
}

/// Sends a child of the server a signal.
pub(crate) fn signal(process: &Process, signal: Signal) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).expect("a process has a number");
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// Waits until the server has exactly so many engine processes.
pub(crate) async fn until_processes(server: &Server, count: usize) {
    wait_until(&format!("{count} engine processes"), SOON, || server.children().len() == count).await;
}

/// Uploads a version that is only kept.
pub(crate) async fn upload_version(server: &Server, script: &Script) -> Answer {
    let (content_type, body) = script.multipart();
    let path = format!("/accounts/{{account}}/workers/scripts/{}/versions", script.name);
    let request = server.api_request(http::Method::POST, &path).header("content-type", content_type);
    testkit::send(server.api_address(), request.body(body.into()).expect("a valid name")).await
}
