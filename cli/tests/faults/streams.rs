//! Large and slow bodies and WebSockets through a real Worker: whole, both directions at once, and without being gathered
//! in the server's memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use testkit::{Message, Script, Server};

use crate::support::{SOON, peak_resident_bytes, until_processes};

const MEBIBYTE: usize = 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
const BODY_BYTES: usize = 20 * MEBIBYTE;
/// A body that does not fit into what the kernel buffers on the way, for a reader that pauses.
const PAUSED_BODY_BYTES: usize = 64 * MEBIBYTE;
/// How much the server's memory may grow while such a body passes through.
const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;

const ECHO: &str = r#"
export default {
    fetch(request) {
        const { readable, writable } = new TransformStream();
        request.body.pipeTo(writable);
        return new Response(readable);
    },
};"#;

#[tokio::test]
async fn twenty_megabytes_pass_both_ways_at_once_without_being_gathered() {
    let server = Server::start().await;
    server.deploy(&Script::module("echo", ECHO)).await;
    let _ = server.send(post("warm up".into())).await.expect(200);
    let before = peak_resident_bytes(server.pid());

    let (body, _) = echo(&server, BODY_BYTES).await;
    read_whole(body, 0, BODY_BYTES).await;

    let (mut body, sent_bytes) = echo(&server, PAUSED_BODY_BYTES).await;
    let first = body.frame().await.expect("a beginning").expect("no error").into_data().expect("data");
    tokio::time::sleep(Duration::from_millis(800)).await;
    let waiting = sent_bytes.load(Ordering::Relaxed);
    assert!(waiting < PAUSED_BODY_BYTES / 2, "{waiting} bytes were taken while nothing was read");
    read_whole(body, first.len(), PAUSED_BODY_BYTES).await;

    let growth = peak_resident_bytes(server.pid()) - before;
    assert!(growth < GROWTH_BYTES_MAX, "the server grew by {growth} bytes");
    server.stop().await;
}

/// A Worker may answer without a look at the body. The client must hear it however much it still has to send, and the
/// connections to the process must stay fit for others.
#[tokio::test]
async fn an_answer_before_the_body_was_read_is_heard() {
    let server = Server::start().await;
    let code = "export default { fetch(request) { return new Response('no', { status: 403 }); } };";
    server.deploy(&Script::module("echo", code)).await;
    for bytes in [1, CHUNK_BYTES, BODY_BYTES] {
        for _ in 0..10 {
            let request = post(Bytes::from(vec![0; bytes]));
            let answer = server.send(request).await.expect(403);
            assert_eq!(answer.text(), "no", "after {bytes} bytes");
            assert_eq!(server.get("echo.localhost", "/").await.expect(403).text(), "no");
        }
    }
    server.stop().await;
}

fn post(body: Bytes) -> Request<Bytes> {
    Request::post("/").header(HOST, "echo.localhost").body(body).expect("a valid request")
}

/// Sends a long body and returns the echo, and how much has been sent so far.
async fn echo(server: &Server, bytes: usize) -> (Incoming, Arc<AtomicUsize>) {
    let sent_bytes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent_bytes);
    let chunks = stream::iter((0..bytes / CHUNK_BYTES).map(move |number| {
        counter.fetch_add(CHUNK_BYTES, Ordering::Relaxed);
        let start = number * CHUNK_BYTES;
        Ok::<_, std::io::Error>(Frame::data((start..start + CHUNK_BYTES).map(byte_at).collect::<Bytes>()))
    }));
    let mut connection = server.connect().await;
    let request = post(Bytes::new()).map(|_| StreamBody::new(chunks));
    let response = connection.send(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    (response.into_body(), sent_bytes)
}

/// A pattern that shows bytes which are lost, doubled or moved.
fn byte_at(position: usize) -> u8 {
    u8::try_from((position ^ (position >> 8) ^ (position >> 16)) & 0xff).expect("one byte")
}

async fn read_whole(mut body: Incoming, mut position: usize, end: usize) {
    while let Some(frame) = body.frame().await {
        let data = frame.expect("the echo is not broken off").into_data().expect("data");
        let is_right = data.iter().zip(position..).all(|(byte, position)| *byte == byte_at(position));
        assert!(is_right, "changed between {position} and {}", position + data.len());
        position += data.len();
    }
    assert_eq!(position, end);
}

fn echoing(prefix: &str) -> Script {
    let code = r#"
export default {
    fetch(request) {
        if (request.headers.get("Upgrade") !== "websocket") return new Response("PREFIX");
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.binaryType = "arraybuffer";
        server.addEventListener("message", ({ data }) => {
            server.send(typeof data === "string" ? "PREFIX: " + data : data);
        });
        return new Response(null, { status: 101, webSocket: client });
    },
};"#;
    Script::module("chat", &code.replace("PREFIX", prefix))
}

#[tokio::test]
async fn a_websocket_stays_with_its_version_until_it_is_closed() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&echoing("old")).await;
    let mut old = server.websocket("chat.localhost", "/").await;
    old.send("hello").await;
    assert_eq!(old.next_text().await, "old: hello");
    let binary: Bytes = (0..MEBIBYTE / 2).map(byte_at).collect();
    old.send_message(Message::Binary(binary.clone())).await;
    assert!(old.next().await == Some(Message::Binary(binary)), "half a mebibyte came back changed");

    server.deploy(&echoing("new")).await;
    assert_eq!(server.get("chat.localhost", "/").await.expect(200).text(), "new");
    let mut new = server.websocket("chat.localhost", "/").await;
    for (socket, expected) in [(&mut old, "old: again"), (&mut new, "new: again")] {
        socket.send("again").await;
        assert_eq!(socket.next_text().await, expected);
    }
    assert_eq!(server.children().len(), 2);
    old.send_message(Message::Close(None)).await;
    while old.next().await.is_some() {}
    until_processes(&server, 1, SOON).await;
    new.send("still").await;
    assert_eq!(new.next_text().await, "new: still");
    drop(new);
    server.stop().await;
}
