//! What Workers reach from inside: nothing of this machine unless the operator allows it, and each other by name without
//! any DNS.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use testkit::{Script, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::support::saying;

const ALLOW: &str = "[egress]\nallow = [\"127.0.0.0/8\"]";

/// Does what the query says, and tells what came of it.
const EXPLORER: &str = r#"
import { connect } from "cloudflare:sockets";

async function talk(address) {
    const socket = connect(address);
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode("hello"));
    await writer.close();
    return await new Response(socket.readable).text();
}

async function chat(url) {
    const { webSocket, status } = await fetch(url, { headers: { Upgrade: "websocket" } });
    if (!webSocket) return `status ${status}`;
    webSocket.accept();
    const answer = new Promise((resolve) => webSocket.addEventListener("message", ({ data }) => resolve(data)));
    webSocket.send("hello");
    const text = await answer;
    webSocket.close();
    return text;
}

export default {
    async fetch(request) {
        const query = new URL(request.url).searchParams;
        const [[how, where]] = query;
        try {
            if (how === "connect") return new Response(await talk(where));
            if (how === "chat") return new Response(await chat(where));
            const { status, statusText } = await fetch(where);
            if (how === "status") return new Response(`${status} ${statusText}`);
            return await fetch(where);
        } catch (error) {
            return new Response(`threw ${error.message}`);
        }
    },
};"#;

async fn explore(server: &Server, how: &str, target: impl std::fmt::Display) -> String {
    server.get("explorer.localhost", &format!("/?{how}={target}")).await.expect(200).text()
}

/// Somebody on this machine: answers HTTP, echoes bytes, and echoes WebSocket messages, each on its own port.
struct Neighbours {
    http: SocketAddr,
    tcp: SocketAddr,
    websocket: SocketAddr,
    _tasks: JoinSet<()>,
}

async fn neighbours() -> Neighbours {
    let mut tasks = JoinSet::new();
    let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address");
    let (http, tcp, websocket) = (bind().await, bind().await, bind().await);
    let addresses = (address(&http), address(&tcp), address(&websocket));
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nnear!")
                .await;
        }
    });
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    tasks.spawn(async move {
        while let Ok((stream, _)) = websocket.accept().await {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
            if let Some(Ok(message)) = socket.next().await {
                let _ = socket.send(message).await;
            }
        }
    });
    Neighbours { http: addresses.0, tcp: addresses.1, websocket: addresses.2, _tasks: tasks }
}

#[tokio::test]
async fn this_machine_is_out_of_reach_unless_allowed() {
    let Neighbours { http, tcp, websocket, .. } = &neighbours().await;
    let server = Server::start().await;
    server.deploy(&Script::module("explorer", EXPLORER)).await;
    let api = server.api_address().to_owned();
    for address in [&http.to_string(), &api, &format!("localhost:{}", http.port())] {
        let refusal = explore(&server, "status", format!("http://{address}/")).await;
        assert_eq!(refusal, "403 Workers may not reach this address: see egress.allow", "{address}");
    }
    assert_eq!(explore(&server, "chat", format!("http://{websocket}/")).await, "status 403");
    let refusal = explore(&server, "connect", tcp).await;
    assert!(refusal.starts_with("threw "), "{refusal}");
    let folder = server.stop().await;

    let server = Server::builder().folder(&folder).settings(ALLOW).start().await;
    assert_eq!(explore(&server, "fetch", format!("http://{http}/")).await, "near!");
    assert_eq!(explore(&server, "chat", format!("http://{websocket}/")).await, "hello");
    assert_eq!(explore(&server, "connect", tcp).await, "hello");
    server.stop().await;
}

const CHATTY: &str = r#"
export default {
    fetch(request) {
        if (request.headers.get("Upgrade") !== "websocket") {
            const { protocol, host } = new URL(request.url);
            return new Response(`${protocol}//${host} asked by ${request.headers.get("CF-Worker")}`);
        }
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.addEventListener("message", ({ data }) => server.send(`inside: ${data}`));
        return new Response(null, { status: 101, webSocket: client });
    },
};"#;

const SELF_CALLER: &str = r#"
let calls = 0;
export default {
    fetch(request) {
        const url = new URL(request.url);
        if (url.pathname === "/calls") return new Response(`${calls}`);
        calls += 1;
        return fetch(...(url.pathname === "/anew" ? [request.url] : [request]));
    },
};"#;

#[tokio::test]
async fn workers_reach_each_other_by_name_without_dns_and_not_forever() {
    let server = Server::start().await;
    for text in ["Worker hit loop limit", "Worker ended without an answer"] {
        server.log().expect(text);
    }
    server.deploy(&Script::module("explorer", EXPLORER)).await;
    server.deploy(&Script::module("other", CHATTY)).await;
    server.deploy(&Script::module("mirror", SELF_CALLER)).await;
    server.deploy(&saying("plain", "plain")).await;
    let asked = explore(&server, "fetch", "http://other.localhost/").await;
    assert_eq!(asked, "http://other.localhost asked by explorer.localhost");
    assert_eq!(explore(&server, "chat", "http://other.localhost/").await, "inside: hello");
    assert_eq!(explore(&server, "fetch", "http://plain.localhost/").await, "plain");
    let looped = server.get("mirror.localhost", "/").await;
    assert!(looped.text().contains("error code: 1019"), "{}", looped.text());
    assert_eq!(server.get("mirror.localhost", "/calls").await.expect(200).text(), "17");
    // It hides that it was called, so only the number of connections ends this.
    let endless = server.get("mirror.localhost", "/anew").await;
    assert!(endless.status.is_server_error(), "{endless:?}");
    assert_eq!(explore(&server, "fetch", "http://plain.localhost/").await, "plain");
    server.stop().await;
}
