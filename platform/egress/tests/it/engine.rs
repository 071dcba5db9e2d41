//! Promises about the real workerd: what user code does with `fetch()`, `connect()` and `WebSocket` works through us.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
};

use axum::body::Body;
use egress::Settings;
use http_body_util::BodyExt;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use product::ConnectionDoor;
use tasks::Tasks;
use tokio::net::{UnixListener, UnixStream};

use crate::{
    harness::{Worker, origin, raw_origin},
    tls::Authority,
};

const WORKER: &str = r#"
import { connect } from "cloudflare:sockets";

const tests = {
  async http() {
    const response = await fetch("http://plain.test/echo", { method: "POST", body: "over http", cf: { cacheTtl: 5 } });
    return response.text();
  },
  async https() {
    return (await fetch("https://secure.test/")).text();
  },
  async refused() {
    const response = await fetch("http://169.254.169.254/latest/meta-data/");
    return `${response.status} ${response.statusText}: ${await response.text()}`;
  },
  async streamed() {
    const { readable, writable } = new TransformStream();
    const answer = fetch("http://plain.test/echo", { method: "POST", body: readable });
    const writer = writable.getWriter();
    const chunk = new Uint8Array(65536);
    for (let count = 0; count < 64; count++) await writer.write(chunk);
    await writer.close();
    return String((await (await answer).arrayBuffer()).byteLength);
  },
  async socket() {
    const socket = connect("raw.test:7");
    await socket.opened;
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode("over tcp"));
    const { value } = await socket.readable.getReader().read();
    await socket.close();
    return new TextDecoder().decode(value);
  },
  async socketRefused() {
    try {
      await connect("127.0.0.1:5432").opened;
    } catch (error) {
      return error.message;
    }
  },
  async socketOverTls() {
    try {
      await connect("secure.test:443", { secureTransport: "on" }).opened;
    } catch (error) {
      return "not possible";
    }
  },
  async websocket() { return echo("http://plain.test/"); },
  async websocketSecure() { return echo("https://secure.test/"); },
  async websocketConstructor() {
    const socket = new WebSocket("wss://secure.test/");
    const message = new Promise((resolve, reject) => {
      socket.addEventListener("message", (event) => resolve(event.data));
      socket.addEventListener("error", (event) => reject(event.error));
    });
    socket.addEventListener("open", () => socket.send("over wss"));
    const data = await message;
    socket.close();
    return data;
  },
};

async function echo(url) {
  const response = await fetch(url, { headers: { Upgrade: "websocket" } });
  const socket = response.webSocket;
  socket.accept();
  const message = new Promise((resolve) => socket.addEventListener("message", (event) => resolve(event.data)));
  socket.send("over websocket");
  const data = await message;
  socket.close(1000);
  return data;
}

export default {
  async fetch(request) {
    try {
      return new Response(await tests[new URL(request.url).pathname.slice(1)]());
    } catch (error) {
      return new Response(String(error.stack), { status: 500 });
    }
  },
};
"#;

const CONFIG: &str = r#"
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-01-01",
      globalOutbound = "egress",
    )),
    (name = "egress", external = (
      address = "unix:FOLDER/egress.sock",
      http = (style = proxy, cfBlobHeader = "x-skerry-cf"),
    )),
  ],
  sockets = [(name = "http", address = "unix:FOLDER/main.sock", http = (), service = "main")],
);
"#;

#[tokio::test]
async fn user_code_reaches_out_through_the_real_workerd() {
    let (tasks, folder, authority) = (Tasks::new(), tempfile::tempdir().unwrap(), Authority::new());
    let plain = origin(&tasks, |request| async {
        if request.headers().contains_key("upgrade") {
            return crate::tunnel::websocket_echo(request);
        }
        Response::new(Body::new(request.into_body()))
    })
    .await;
    let secure = authority.origin(&tasks, "secure.test", "over https").await;
    let raw = raw_origin(&tasks, |mut socket| async move {
        let (mut read, mut write) = socket.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let hosts = [("plain.test", plain), ("secure.test", secure), ("raw.test", raw)];
    let worker = Worker::new(Settings {
        hosts: HashMap::from(hosts.map(|(name, address)| (name.to_owned(), address))),
        ca_files: vec![authority.write(folder.path())],
        ..Settings::default()
    });
    listen(&worker, &folder.path().join("egress.sock"));
    let _workerd = Workerd::start(folder.path());

    let main = folder.path().join("main.sock");
    for (test, expected) in [
        ("http", "over http"),
        ("https", "over https"),
        ("streamed", "4194304"),
        ("refused", "403 Workers may not reach this address: see egress.allow: error code: 1021"),
        ("socket", "over tcp"),
        ("socketRefused", "proxy request failed, cannot connect to the specified address"),
        // Cloudflare can; workerd cannot behind a proxy, and never asks us. Wrong, but not ours to mend.
        ("socketOverTls", "not possible"),
        ("websocket", "over websocket"),
        ("websocketSecure", "over websocket"),
        ("websocketConstructor", "over wss"),
    ] {
        assert_eq!(ask(&tasks, &main, test).await, expected, "{test}");
    }
}

/// Serves egress on a Unix socket, as the engine does.
fn listen(worker: &Worker, path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let (egress, caller, tasks) =
        (Arc::clone(&worker.egress), Arc::clone(&worker.caller), worker.tasks.clone());
    worker.tasks.spawn("egress socket", async move {
        while let Ok((connection, _)) = listener.accept().await {
            tasks.spawn("egress door", egress.serve(Arc::clone(&caller), connection));
        }
    });
}

async fn ask(tasks: &Tasks, socket: &Path, test: &str) -> String {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn("visitor", async move {
        let _ = connection.await;
    });
    let request = Request::get(format!("/{test}")).header("host", "hello.test").body(Body::empty()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A running workerd; killed when dropped.
struct Workerd(Child);

impl Workerd {
    #[expect(clippy::disallowed_methods, reason = "this test drives the real workerd without the engine")]
    fn start(folder: &Path) -> Self {
        std::fs::write(folder.join("worker.js"), WORKER).unwrap();
        let config = CONFIG.replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(folder.join("config.capnp"), config).unwrap();
        let mut child = std::process::Command::new(workerd())
            .args(["serve", "--control-fd=1"])
            .arg(folder.join("config.capnp"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut announced = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announced).unwrap();
        let running = Self(child);
        assert!(announced.contains(r#""event":"listen""#), "workerd said: {announced}");
        running
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests find the engine by the same variable as the server")]
fn workerd() -> PathBuf {
    let path = std::env::var_os("SKERRY_WORKERD").map(PathBuf::from);
    path.filter(|path| path.is_file())
        .expect("set SKERRY_WORKERD to the workerd binary: this test needs the real engine")
}
