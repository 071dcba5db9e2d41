//! What a Worker sees of a request, and what a client sees of the Worker's answer, in the forms that HTTP knows.

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use testkit::{Script, Server, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::SOON;

const MIRROR: &str = r#"
export default {
    async fetch(request) {
        return Response.json({
            url: request.url,
            method: request.method,
            headers: Object.fromEntries(request.headers),
            cf: request.cf,
            body: await request.text(),
        });
    },
};"#;

async fn server() -> Server {
    let server = Server::start().await;
    server.deploy(&Script::module("mirror", MIRROR)).await;
    server
}

#[tokio::test]
async fn a_worker_sees_where_a_request_comes_from_and_cannot_be_told_otherwise() {
    let server = server().await;
    let request = Request::post("/path?query=%20")
        .header(HOST, "mirror.localhost:4321")
        .header("CF-Connecting-IP", "203.0.113.9")
        .header("CF-Ray", "forged")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("CF-Worker", "forged")
        .header("X-Own", "kept")
        .body(Bytes::from("content"));
    let answer = server.send(request.expect("a valid request")).await.expect(200);
    let seen = answer.json();
    assert_eq!(seen["url"], "http://mirror.localhost:4321/path?query=%20");
    assert_eq!((&seen["method"], &seen["body"]), (&"POST".into(), &"content".into()));
    let headers = &seen["headers"];
    assert_eq!(headers["host"], "mirror.localhost:4321");
    assert_eq!(headers["cf-connecting-ip"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-own"], "kept");
    assert_eq!(headers["cf-worker"], Value::Null);
    let forwarded_for = headers["x-forwarded-for"].as_str().unwrap_or_default();
    assert!(forwarded_for.ends_with("127.0.0.1"), "{forwarded_for}");
    let ray = headers["cf-ray"].as_str().expect("a ray id");
    assert!(ray.len() == 20 && ray.ends_with("-LOC"), "{ray}");
    assert_eq!(answer.header("cf-ray"), ray);
    assert_eq!(seen["cf"]["colo"], "LOC");
    assert_eq!(seen["cf"]["httpProtocol"], "HTTP/1.1");
    server.stop().await;
}

#[tokio::test]
async fn http2_without_tls_reaches_a_worker() {
    let server = server().await;
    let stream = TcpStream::connect(server.http()).await.expect("connect");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("begin HTTP/2");
    let exchanges = async {
        for number in 0..3 {
            let uri = format!("http://mirror.localhost:4321/{number}");
            let body = Full::new(Bytes::from("content"));
            let request = Request::post(uri.as_str()).body(body).expect("a valid request");
            let response = sender.send_request(request).await.expect("an answer");
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let seen: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((&seen["url"], &seen["body"]), (&uri.into(), &"content".into()));
            assert_eq!(seen["cf"]["httpProtocol"], "HTTP/2");
        }
        drop(sender);
    };
    let (_, ()) = within("three exchanges", SOON, async { tokio::join!(connection, exchanges) }).await;
    server.stop().await;
}

#[tokio::test]
async fn head_has_no_body_and_expect_is_answered_before_the_body_comes() {
    let server = server().await;
    let head = "HEAD / HTTP/1.1\r\nHost: mirror.localhost\r\nConnection: close\r\n\r\n";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.text.starts_with("HTTP/1.1 200 ") && answer.text.ends_with("\r\n\r\n"), "{answer:?}");

    let mut stream = TcpStream::connect(server.http()).await.expect("connect");
    let head = "POST / HTTP/1.1\r\nHost: mirror.localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\
                Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("send the head");
    let mut interim = [0; 25];
    within("the interim answer", SOON, stream.read_exact(&mut interim)).await.expect("an interim answer");
    assert_eq!(interim, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"content").await.expect("send the body");
    let mut rest = String::new();
    within("the answer", SOON, stream.read_to_string(&mut rest)).await.expect("text");
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.contains(r#""body":"content""#), "{rest}");
    server.stop().await;
}
