//! Idle Workers: their processes end, the next request wakes them, and whoever still listens keeps them awake.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use testkit::{Message, Script, Server};

use crate::support::{SOON, saying, to, until_processes};

const SETTINGS: &str = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";

#[tokio::test]
async fn an_idle_process_ends_and_twenty_requests_at_once_wake_one() {
    let server = Server::builder().settings(SETTINGS).start().await;
    server.deploy(&saying("drowsy", "awake")).await;
    let _ = server.get("drowsy.localhost", "/").await.expect(200);
    until_processes(&server, 0, SOON).await;

    let before = starts(&server).await;
    let answers = join_all((0..20).map(|_| server.get("drowsy.localhost", "/"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == "awake"));
    assert_eq!(starts(&server).await - before, 1);
    assert_eq!(server.children().len(), 1);
    until_processes(&server, 0, SOON).await;
    server.stop().await;
}

/// How often a process was started, as the metrics say.
async fn starts(server: &Server) -> u64 {
    let request = server.api_request(http::Method::GET, "").uri("/metrics").body(Bytes::new());
    let text = testkit::send(server.api_address(), request.expect("a valid path")).await.text();
    let count = text.lines().find_map(|line| line.strip_prefix("skerry_worker_starts_total "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no such figure in {text}"))
}

const LISTENED_TO: &str = r#"
export default {
    fetch(request) {
        if (request.headers.get("Upgrade") === "websocket") {
            const [client, server] = Object.values(new WebSocketPair());
            server.accept();
            server.addEventListener("message", ({ data }) => server.send(data));
            return new Response(null, { status: 101, webSocket: client });
        }
        const { readable, writable } = new TransformStream();
        const drip = async () => {
            const writer = writable.getWriter();
            for (let n = 0; n < 11; n++) {
                await writer.write(new TextEncoder().encode("drop "));
                await scheduler.wait(250);
            }
            await writer.close();
        };
        drip();
        return new Response(readable);
    },
};"#;

#[tokio::test]
async fn a_websocket_and_a_stream_keep_their_processes_awake() {
    let server = Server::builder().settings(SETTINGS).start().await;
    for name in ["socket", "stream"] {
        server.deploy(&Script::module(name, LISTENED_TO)).await;
    }
    let mut socket = server.websocket("socket.localhost", "/").await;
    let mut connection = server.connect::<Full<Bytes>>().await;
    let response = connection.send(to("stream.localhost", "GET", "/", "")).await.expect("an answer");
    let children = server.children();
    let text = response.into_body().collect().await.expect("the stream comes to its end").to_bytes();
    assert_eq!(text, "drop ".repeat(11));
    assert_eq!(server.children(), children, "both processes are awake after more than twice the idle time");

    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.send("still there?").await;
    assert_eq!(socket.next_text().await, "still there?");
    socket.send_message(Message::Close(None)).await;
    while socket.next().await.is_some() {}
    until_processes(&server, 0, SOON).await;
    server.stop().await;
}
