//! What surrounds a handler: envelopes, rays, limits, panics, metrics, and connections that drain.

use std::time::Duration;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::Api;

#[tokio::test]
async fn every_answer_has_a_ray_and_every_refusal_an_envelope() {
    let api = Api::open().await;
    let token = api.token();
    let cases = [
        ("GET", "/user".to_owned(), 200, Value::Null),
        ("GET", "/nowhere".to_owned(), 404, json!(7_003)),
        ("GET", api.account("/workers/nowhere"), 404, json!(7_003)),
        ("DELETE", "/user".to_owned(), 405, json!(7_001)),
        ("PATCH", api.account("/workers/scripts/hello"), 405, json!(7_001)),
        ("GET", api.account("/workers/panics"), 500, json!(10_002)),
    ];
    for (method, path, status, code) in cases {
        let answer = api.call(&token, method, &path, Value::Null).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.json);
        assert_eq!(answer.json["errors"][0]["code"], code, "{method} {path}");
        assert_eq!(answer.headers["cf-ray"].len(), 16);
    }
    let outside = api.send(Request::get("/nowhere").body(Body::empty()).expect("a request")).await;
    assert_eq!(outside.refusal(), (404, 7_003));
    assert!(
        api.get(&token, "/nowhere").await.json["errors"][0]["message"]
            .as_str()
            .expect("text")
            .contains("/client/v4/nowhere")
    );
}

#[tokio::test]
async fn a_body_is_bounded_unless_its_route_says_otherwise() {
    let api = Api::open().await;
    let text = |bytes: usize| Value::String("x".repeat(bytes));
    let script = api.account("/workers/scripts/hello");
    assert_eq!(api.call(&api.token(), "PUT", &script, text(1 << 20)).await.status, 413);
    api.call(&api.token(), "POST", &api.account("/workers/large"), text(2 << 20)).await.ok();
}

#[tokio::test]
async fn metrics_need_no_token() {
    let api = Api::open().await;
    let answer = api.send(Request::get("/metrics").body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status.as_u16(), &answer.bytes[..]), (200, &b"skerry_up 1\n"[..]));
}

#[tokio::test]
async fn metrics_answer_to_no_foreign_host_name() {
    let api = Api::open().await;
    let own = ["127.0.0.1:8788", "[::1]:8788", "localhost", "LOCALHOST:8788", "api.localhost.:1"];
    let foreign = [
        "example.com",
        "example.com:8788",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "xlocalhost",
        "",
    ];
    let hosts = own.map(|host| (host, 200)).into_iter().chain(foreign.map(|host| (host, 403)));
    for (host, expected) in hosts {
        let request = Request::get("/metrics").header("host", host).body(Body::empty());
        let answer = api.send(request.expect("a request")).await;
        assert_eq!(answer.status.as_u16(), expected, "{host}");
    }
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_has_begun_and_closes() {
    let api = Api::open().await;
    let tasks = api.house.tasks.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tasks.spawn_draining("api", control_plane::serve(listener, api.router.clone(), tasks.clone()));

    let mut busy = TcpStream::connect(address).await.expect("a connection");
    let head = format!("PUT /client/v4{} HTTP/1.1\r\nhost: a\r\n", api.account("/workers/scripts/hello"));
    let head = format!(
        "{head}authorization: Bearer {}\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
        api.token()
    );
    busy.write_all(head.as_bytes()).await.expect("sent");
    let mut first = [0; 25];
    busy.read_exact(&mut first).await.expect("the handler reads");
    assert!(first.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));

    let stop = tasks.stop_token();
    let (is_drained, answer) = tokio::join!(tasks.stop(Duration::from_secs(30)), async {
        stop.cancelled().await;
        busy.write_all(b"{}").await.expect("sent");
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.expect("an answer, then the end");
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(is_drained, "nothing is left");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let api = Api::open().await;
    let tasks = api.house.tasks.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tasks.spawn_draining("api", control_plane::serve(listener, api.router.clone(), tasks.clone()));

    for beginning in ["", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /metrics HTTP/1.1\r\n"] {
        let mut silent = TcpStream::connect(address).await.expect("a connection");
        silent.write_all(beginning.as_bytes()).await.expect("sent");
        // Time stands still but for timers, so that an hour passes at once; where nothing closes it, this fails.
        let mut answer = Vec::new();
        let read = silent.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(3600), read).await;
        assert!(ended.is_ok(), "still open after {beginning:?}");
    }
}
