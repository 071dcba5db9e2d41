//! Promises about plain subrequests: what crosses, what does not, and what becomes of connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use hyper::{Request, Response, StatusCode};
use tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::harness::{Answer, END_OF_HEAD, Seen, Worker, origin, raw_origin, read_until, soon};

#[tokio::test]
async fn a_subrequest_reaches_its_origin_and_its_answer_comes_back() {
    let tasks = Tasks::new();
    let seen = Seen::default();
    let sees = seen.clone();
    let address = origin(&tasks, move |request| {
        let body = sees.note(request);
        async move {
            Response::builder()
                .status(StatusCode::CREATED)
                .header("x-answer", "1")
                .body(Body::new(body))
                .unwrap()
        }
    })
    .await;
    let request = Request::post("http://origin.test/path?q=%20")
        .header("x-asked", "2")
        .body(Body::from("hello"))
        .unwrap();
    let answer = Answer::read(Worker::with_origin(address).send(request).await).await;

    assert_eq!((answer.head.status, answer.text.as_str()), (StatusCode::CREATED, "hello"));
    assert_eq!(answer.head.headers["x-answer"], "1");
    let asked = seen.last();
    assert_eq!((asked.method.as_str(), asked.uri.to_string().as_str()), ("POST", "/path?q=%20"));
    assert_eq!(asked.headers["x-asked"], "2");
    assert_eq!(asked.headers["content-length"], "5");
    assert!(!asked.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn a_redirect_is_handed_back_untouched() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async {
        Response::builder().status(StatusCode::FOUND).header("location", "/next").body(Body::empty()).unwrap()
    })
    .await;
    let answer = Worker::with_origin(address).get("http://origin.test/").await;
    assert_eq!(answer.head.status, StatusCode::FOUND);
    assert_eq!(answer.head.headers["location"], "/next");
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_the_connection() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("twelve bytes")) }).await;
    let worker = Worker::with_origin(address);
    let mut connection = worker.open().await;
    for _ in 0..2 {
        let request = Request::head("http://origin.test/").body(Body::empty()).unwrap();
        connection.ready().await.unwrap();
        let answer = Answer::read(connection.send_request(request).await.unwrap()).await;
        assert_eq!(answer.head.headers["content-length"], "12");
        assert_eq!(answer.text, "");
    }
}

#[tokio::test]
async fn headers_of_one_connection_and_our_own_do_not_cross() {
    let tasks = Tasks::new();
    let seen = Seen::default();
    let sees = seen.clone();
    let address = origin(&tasks, move |request| {
        drop(sees.note(request));
        let response = Response::builder()
            .header("connection", "X-Private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-skerry-secret", "1")
            .header("x-public", "1");
        async move { response.body(Body::empty()).unwrap() }
    })
    .await;
    let request = Request::get("http://origin.test/")
        .header("connection", "x-private, X-Also , host, content-length")
        .header("x-private", "1")
        .header("x-also", "1")
        .header("te", "trailers")
        .header("trailer", "x-end")
        .header("upgrade", "h2c")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic eA==")
        .header("x-skerry-cf", r#"{"cacheTtl":5}"#)
        .header("x-skerry-anything", "1")
        .header("x-public", "1")
        .body(Body::empty())
        .unwrap();
    let answer = Answer::read(Worker::with_origin(address).send(request).await).await;

    let mut crossed: Vec<_> = seen.last().headers.keys().map(|name| name.as_str().to_owned()).collect();
    crossed.sort();
    assert_eq!(crossed, ["cf-worker", "host", "x-public"]);
    let mut returned: Vec<_> = answer.head.headers.keys().map(|name| name.as_str().to_owned()).collect();
    returned.sort();
    assert_eq!(returned, ["content-length", "date", "x-public"]);
}

#[tokio::test]
async fn host_is_that_of_the_url_whatever_the_worker_set() {
    let tasks = Tasks::new();
    let seen = Seen::default();
    let sees = seen.clone();
    let address = origin(&tasks, move |request| {
        drop(sees.note(request));
        async { Response::new(Body::empty()) }
    })
    .await;
    let worker = Worker::with_origin(address);
    for (url, host) in [
        ("http://origin.test/", "origin.test"),
        ("http://origin.test:80/", "origin.test"),
        ("http://origin.test:8080/", "origin.test:8080"),
        ("http://user:secret@origin.test/", "origin.test"),
    ] {
        let request = Request::get(url).header("host", "other.test").body(Body::empty()).unwrap();
        worker.send(request).await;
        assert_eq!(seen.last().headers["host"], host, "{url}");
        assert_eq!(seen.last().headers.get_all("host").iter().count(), 1);
        assert!(!seen.last().headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn cf_worker_names_the_workers_own_host_and_cannot_be_forged() {
    let tasks = Tasks::new();
    let seen = Seen::default();
    let sees = seen.clone();
    let address = origin(&tasks, move |request| {
        drop(sees.note(request));
        async { Response::new(Body::empty()) }
    })
    .await;
    let request = Request::get("http://origin.test/")
        .header("cf-worker", "bank.example")
        .header("cf-connecting-ip", "203.0.113.7")
        .body(Body::empty())
        .unwrap();
    Worker::with_origin(address).send(request).await;
    assert_eq!(seen.last().headers["cf-worker"], "hello.workers.test");
    // Cloudflare sets this one itself; which visitor caused a subrequest cannot be seen from here.
    assert_eq!(seen.last().headers["cf-connecting-ip"], "203.0.113.7");
}

#[tokio::test]
async fn connections_to_an_origin_are_used_again() {
    let tasks = Tasks::new();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let address = raw_origin(&tasks, move |mut socket| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            while read_until(&mut socket, END_OF_HEAD).await {
                socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let worker = Worker::with_origin(address);
    let mut connection = worker.open().await;
    for _ in 0..20 {
        connection.ready().await.unwrap();
        let request = Request::get("http://origin.test/").body(Body::empty()).unwrap();
        Answer::read(connection.send_request(request).await.unwrap()).await;
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_is_not_used_again() {
    let tasks = Tasks::new();
    let (closed, mut has_closed) = mpsc::channel(1);
    let address = raw_origin(&tasks, move |mut socket| {
        let closed = closed.clone();
        async move {
            assert!(read_until(&mut socket, "body").await);
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            socket.shutdown().await.unwrap();
            while socket.read(&mut [0; 64]).await.unwrap_or(0) > 0 {}
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let worker = Worker::with_origin(address);
    let mut connection = worker.open().await;
    for _ in 0..3 {
        connection.ready().await.unwrap();
        let request = Request::post("http://origin.test/").body(Body::from("body")).unwrap();
        let answer = Answer::read(connection.send_request(request).await.unwrap()).await;
        assert_eq!((answer.head.status, answer.text.as_str()), (StatusCode::OK, "ok"));
        soon(has_closed.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_version_is_held_to_its_connections() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("ok")) }).await;
    let settings = egress::Settings { connections_max: 2, ..crate::harness::only(address) };
    let worker = Worker::new(settings);
    let mut kept = [worker.connection(), worker.connection()];
    let mut refused = worker.connection();
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap(), 0, "the third connection is closed");

    kept[0].shutdown().await.unwrap();
    assert_eq!(kept[0].read(&mut [0; 1]).await.unwrap(), 0, "egress has let go of the first");
    soon(until_served(&worker)).await;
}

/// Tries until a connection is served: a permit returns a moment after its connection has closed.
async fn until_served(worker: &Worker) {
    loop {
        let mut next = worker.connection();
        let asked = next.write_all(b"GET http://origin.test/ HTTP/1.1\r\nconnection: close\r\n\r\n").await;
        let mut text = String::new();
        if asked.is_ok() && next.read_to_string(&mut text).await.is_ok() && text.ends_with("ok") {
            break;
        }
        tokio::task::yield_now().await;
    }
}
