//! Promises about byte streams: WebSockets and `connect()`.

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use hyper::{Request, Response, StatusCode, body::Incoming, header, upgrade};
use hyper_util::rt::TokioIo;
use tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use crate::harness::{Answer, END_OF_HEAD, Worker, loopback, origin, raw_origin, read_until, soon};

/// Answers a WebSocket handshake and sends back each message.
#[expect(
    clippy::disallowed_methods,
    reason = "a handler has no tasks of its own; the runtime ends with the test"
)]
pub(crate) fn websocket_echo<B>(mut request: Request<B>) -> Response<Body> {
    let key = request.headers()["sec-websocket-key"].as_bytes().to_vec();
    let upgraded = upgrade::on(&mut request);
    tokio::spawn(async move {
        let io = TokioIo::new(upgraded.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", derive_accept_key(&key))
        .body(Body::empty())
        .unwrap()
}

/// Opens a WebSocket through egress, sends `text`, returns what comes back, and closes.
pub(crate) async fn websocket_round_trip(worker: &Worker, url: &str, text: &str) -> String {
    let mut response = worker.send(websocket_request(url)).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-accept"], derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
    let io = TokioIo::new(upgrade::on(&mut response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::text(text)).await.unwrap();
    let echoed = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    echoed
}

fn websocket_request(url: &str) -> Request<Body> {
    Request::get(url)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_websocket_is_carried() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |request: Request<Incoming>| async { websocket_echo(request) }).await;
    let worker = Worker::with_origin(address);
    assert_eq!(websocket_round_trip(&worker, "http://origin.test/", "hello").await, "hello");
}

#[tokio::test]
async fn a_refused_websocket_is_an_ordinary_answer() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async {
        Response::builder().status(StatusCode::FORBIDDEN).body(Body::from("members only")).unwrap()
    })
    .await;
    let worker = Worker::with_origin(address);
    let answer = Answer::read(worker.send(websocket_request("http://origin.test/")).await).await;
    assert_eq!((answer.head.status, answer.text.as_str()), (StatusCode::FORBIDDEN, "members only"));
}

#[tokio::test]
async fn an_origin_may_change_to_no_other_protocol() {
    let tasks = Tasks::new();
    let address = raw_origin(&tasks, |mut socket| async move {
        assert!(read_until(&mut socket, END_OF_HEAD).await);
        socket
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let request = Request::get("http://origin.test/")
        .header(header::CONNECTION, "Upgrade, HTTP2-Settings")
        .header(header::UPGRADE, "h2c")
        .body(Body::empty())
        .unwrap();
    Answer::read(Worker::with_origin(address).send(request).await).await.assert_failure(520, 520);
}

#[tokio::test]
async fn a_socket_is_carried_and_each_side_sees_the_other_close() {
    let tasks = Tasks::new();
    let address = raw_origin(&tasks, |mut socket| async move {
        let mut text = Vec::new();
        socket.read_to_end(&mut text).await.unwrap();
        text.reverse();
        socket.write_all(&text).await.unwrap();
    })
    .await;
    let worker = Worker::new(loopback());
    let mut response = worker.connect(&address.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut socket = TokioIo::new(upgrade::on(&mut response).await.unwrap());
    socket.write_all(b"stressed").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "desserts");
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_refused_before_any_byte() {
    let worker = Worker::new(loopback());
    for (authority, status) in [("127.0.0.1:25", 403), ("10.0.0.1:5432", 403), ("169.254.169.254:80", 403)] {
        assert_eq!(worker.connect(authority).await.status().as_u16(), status, "{authority}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(worker.connect(&closed.to_string()).await.status().as_u16(), 521);
}

#[tokio::test]
async fn dropping_the_connection_ends_its_socket() {
    let tasks = Tasks::new();
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let address = raw_origin(&tasks, move |mut socket| {
        let closed = closed.clone();
        async move {
            let (mut read, mut write) = socket.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let worker = Worker::new(loopback());
    let (mut ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    let door = product::ConnectionDoor::serve(worker.egress.as_ref(), worker.caller.clone(), theirs);
    let serving = tasks.spawn("door", door);
    ours.write_all(format!("CONNECT {address} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_until(&mut ours, END_OF_HEAD).await);
    ours.write_all(b"echo").await.unwrap();
    assert!(read_until(&mut ours, "echo").await);
    serving.abort();
    soon(was_closed.recv()).await.unwrap();
}
