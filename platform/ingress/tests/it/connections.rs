//! How connections begin, wait and end.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{HOST, door, door_with, empty, in_time, read_to_end};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let door = door().await;
    let mut client = door.http1().await;
    for _ in 0..3 {
        let request = Request::get("/").header("host", HOST).body(empty()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "0 bytes");
    }
    door.shows("skerry_ingress_connections_total 1");
}

#[tokio::test]
async fn headers_that_do_not_arrive_in_time_end_the_connection() {
    let door = door_with(|settings| (settings.header_timeout, settings.idle_timeout) = (SOON, LONG)).await;
    for begin in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost: hello.loc", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let response = in_time(door.raw(begin)).await;
        assert!(!response.contains("HTTP/1.1 2"), "{begin:?}: {response:?}");
    }
    // The second request on a connection as well.
    let first = "GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n";
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    read_answer(&mut stream, "0 bytes").await;
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(door.notes.lines(), ["GET /"]);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let door = door_with(|settings| settings.idle_timeout = SOON).await;
    let response = door.raw("GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await;
    assert!(response.ends_with("0 bytes"), "{response}");

    let stream = TcpStream::connect(door.address).await.unwrap();
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let request = Request::get("http://hello.localhost/").body(empty()).unwrap();
    let ask = async {
        let answer = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "0 bytes");
    };
    let ((), ended) = in_time(async { tokio::join!(ask, connection) }).await;
    ended.expect("closed with a word of farewell");
}

#[tokio::test]
async fn a_request_that_takes_its_time_is_not_idle() {
    let door = door_with(|settings| (settings.header_timeout, settings.idle_timeout) = (SOON, SOON)).await;
    let mut client = door.http1().await;
    let request = Request::get("/wait").header("host", HOST).body(empty()).unwrap();
    let sent = client.send_request(request);
    let wait = async {
        door.notes.arrived.pass().await;
        // Time has to pass here, since the promise is that nothing happens.
        tokio::time::sleep(SOON * 4).await;
        door.notes.gate.open();
    };
    let (response, ()) = in_time(async { tokio::join!(sent, wait) }).await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let door = door_with(|settings| settings.connections_max = 1).await;
    let mut first = TcpStream::connect(door.address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n";
    first.write_all(request.as_bytes()).await.unwrap();
    read_answer(&mut first, "0 bytes").await;
    let mut second = TcpStream::connect(door.address).await.unwrap();
    second.write_all(request.as_bytes()).await.unwrap();
    first.write_all(request.as_bytes()).await.unwrap();
    read_answer(&mut first, "0 bytes").await;
    assert_eq!(door.notes.lines().len(), 2, "both by the first connection");
    drop(first);
    read_answer(&mut second, "0 bytes").await;
    assert_eq!(door.notes.lines().len(), 3);
}

#[tokio::test]
async fn a_stop_finishes_what_was_begun_and_closes_what_idles() {
    let door = door().await;
    let mut idle = TcpStream::connect(door.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    read_answer(&mut idle, "0 bytes").await;
    let mut busy = TcpStream::connect(door.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    door.notes.arrived.pass().await;
    let mut http2 = door.http2().await;
    let request = Request::get("http://hello.localhost/wait").body(empty()).unwrap();
    let mut sender = http2.clone();
    let http2_busy =
        async { sender.send_request(request).await.unwrap().into_body().collect().await.unwrap() };

    let stop = async {
        door.notes.arrived.pass().await;
        let finish = async {
            assert_eq!(read_to_end(&mut idle).await, "", "the idle one ends while the others are busy");
            door.notes.gate.open();
            door.notes.gate.open();
            let response = read_to_end(&mut busy).await;
            assert!(response.contains("connection: close\r\n") && response.ends_with("waited"), "{response}");
        };
        let (is_drained, ()) = tokio::join!(door.tasks.stop(Duration::from_secs(10)), finish);
        assert!(is_drained);
    };
    let (answer, ()) = in_time(async { tokio::join!(http2_busy, stop) }).await;
    assert_eq!(answer.to_bytes(), "waited");
    assert!(in_time(http2.ready()).await.is_err(), "no further request after GOAWAY");
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_the_drain_timeout() {
    let door = door_with(|settings| settings.drain_timeout = SOON).await;
    let mut busy = TcpStream::connect(door.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    door.notes.arrived.pass().await;
    assert!(in_time(door.tasks.stop(Duration::from_secs(10))).await);
    assert_eq!(read_to_end(&mut busy).await, "");
}

/// Reads until `end` has arrived.
async fn read_answer(stream: &mut TcpStream, end: &str) {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = in_time(stream.read_u8()).await.unwrap();
        text.push(byte);
    }
}
