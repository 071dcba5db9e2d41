//! Durable Objects: the same class on Skerry and on bare workerd with `localDisk`, loaded as any side; and what hibernated
//! WebSockets hold in memory. How long a replacement keeps requests is in `deploy`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use testkit::{Script, Server, WebSocket, resident_bytes};

use crate::{
    load::{CONNECTIONS, Target},
    sides::{Side, Workerd},
};

/// A counter that is kept, with a mirror in memory; and a room whose sockets hibernate.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class Counter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY, n INTEGER)");
    sql.exec("INSERT OR IGNORE INTO state VALUES (1, 0)");
    this.n = 0;
  }
  read() { return this.n; }
  write() { return this.n = this.ctx.storage.sql.exec("UPDATE state SET n = n + 1 RETURNING n").one().n; }
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) { socket.send(message); }
}

export default {
  async fetch(request, { COUNTER }) {
    const [, call, name] = new URL(request.url).pathname.split("/");
    const object = COUNTER.getByName(name);
    if (call === "release") return new Response("RELEASE");
    if (call === "socket") return object.fetch(request);
    return new Response(await object[call]());
  },
};
"#;

const CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "counter", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-11-01",
      bindings = [(name = "COUNTER", durableObjectNamespace = "Counter")],
      durableObjectNamespaces = [(className = "Counter", uniqueKey = "counter", enableSql = true)],
      durableObjectStorage = (localDisk = "state"))),
    (name = "state", disk = (path = "state", writable = true))],
  sockets = [(name = "http", service = "counter",
    http = (cfBlobHeader = "x-cf", forwardedProtoHeader = "x-proto"))]);
"#;

/// Where Skerry serves it.
pub(crate) const HOST: &str = "counter.localhost";

/// Sockets that hibernate, in one object.
const SOCKETS: u32 = 1000;

/// workerd lets go of an instance that was not called for ten seconds.
const HIBERNATES_AFTER: Duration = Duration::from_secs(13);

/// The two sides.
#[derive(Debug)]
pub(crate) struct Durable {
    server: Server,
    bare: Workerd,
}

impl Durable {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = Server::start().await;
        server.deploy(&first_version()).await;
        let bare = Workerd::start(CONFIG, &[("worker.js", WORKER)]).await?;
        Ok(Self { server, bare })
    }

    /// Where the load of a side goes.
    pub(crate) fn target(&self, side: Side) -> anyhow::Result<Target> {
        let ours = || Target::get(self.server.http(), HOST, "");
        let bare = || self.bare.target("");
        let (target, call, objects) = match side {
            Side::DurableRead => (ours(), "read", 1),
            Side::BareDurableRead => (bare(), "read", 1),
            Side::DurableWrite => (ours(), "write", 1),
            Side::BareDurableWrite => (bare(), "write", 1),
            Side::DurableWrites => (ours(), "write", CONNECTIONS),
            Side::BareDurableWrites => (bare(), "write", CONNECTIONS),
            _ => bail!("{side:?} calls no Durable Object"),
        };
        let paths = (0..objects).map(|number| format!("/{call}/object-{number}")).collect();
        Ok(Target { paths, ..target })
    }

    /// What a hibernated socket holds in our server, in the workerd behind it and in bare workerd, in KiB.
    pub(crate) async fn sockets_kib(&self) -> anyhow::Result<[(Side, f64); 3]> {
        let _first = [self.our_socket().await, self.bare_socket().await];
        let children = self.server.children();
        let [child] = children.as_slice() else { bail!("{} engine processes, not one", children.len()) };
        let pids = [self.server.pid(), child.pid, self.bare.pid()];
        let before = all_resident(pids)?;
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.extend([self.our_socket().await, self.bare_socket().await]);
        }
        tokio::time::sleep(HIBERNATES_AFTER).await;
        let after = all_resident(pids)?;
        let kib = |index: usize| (after[index] - before[index]) / 1024.0 / f64::from(SOCKETS);
        Ok([(Side::SocketKib, kib(0)), (Side::SocketEngineKib, kib(1)), (Side::BareSocketKib, kib(2))])
    }

    async fn our_socket(&self) -> WebSocket {
        greeted(self.server.websocket(HOST, "/socket/room").await).await
    }

    async fn bare_socket(&self) -> WebSocket {
        let Target { address, host, .. } = self.bare.target("");
        greeted(WebSocket::open(&address, &host, "/socket/room").await).await
    }
}

/// The Worker as first deployed.
pub(crate) fn first_version() -> Script {
    let mut script = version(0);
    script.metadata["migrations"] =
        json!({ "new_tag": "v1", "steps": [{ "new_sqlite_classes": ["Counter"] }] });
    script
}

/// A further version, which says its number.
pub(crate) fn version(number: usize) -> Script {
    let source = WORKER.replace("RELEASE", &number.to_string());
    let binding = json!({ "name": "COUNTER", "type": "durable_object_namespace", "class_name": "Counter" });
    Script::module("counter", &source).binding(binding)
}

/// Sockets are counted once they were of use.
async fn greeted(mut socket: WebSocket) -> WebSocket {
    socket.send("hello").await;
    socket.next_text().await;
    socket
}

fn all_resident(pids: [u32; 3]) -> anyhow::Result<[f64; 3]> {
    let mut all = [0.0; 3];
    for (bytes, pid) in all.iter_mut().zip(pids) {
        *bytes = resident_bytes(pid).context("a process has ended")? as f64;
    }
    Ok(all)
}
