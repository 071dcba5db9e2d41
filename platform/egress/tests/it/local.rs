//! Promises about our own hosts: they are answered inside, and a chain of Workers comes to an end.

use std::sync::Arc;

use axum::body::Body;
use egress::LocalHosts;
use futures_util::future::BoxFuture;
use hyper::{Request, Response};
use model::Caller;
use tasks::Tasks;

use crate::harness::{Answer, Seen, Worker, loopback, only, origin};

/// An installation that answers `*.workers.test`.
#[derive(Clone, Default)]
struct Inside(Seen);

impl LocalHosts for Inside {
    fn serves(&self, host: &str) -> bool {
        host.ends_with(".workers.test")
    }

    fn dispatch(&self, caller: Arc<Caller>, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        if request.headers().contains_key("upgrade") {
            return Box::pin(async { crate::tunnel::websocket_echo(request) });
        }
        let body = self.0.note(request);
        Box::pin(async move {
            Response::builder().header("x-called-by", caller.script.as_str()).body(body).unwrap()
        })
    }
}

#[tokio::test]
async fn our_own_hosts_are_answered_inside() {
    let inside = Inside::default();
    let worker = Worker::beside(loopback(), Arc::new(inside.clone()));
    let request = Request::post("https://Other.Workers.Test:8443/path?q")
        .header("x-skerry-cf", "{}")
        .header("host", "forged.test")
        .body(Body::from("hello"))
        .unwrap();
    let answer = Answer::read(worker.send(request).await).await;
    assert_eq!(answer.text, "hello");
    assert_eq!(answer.head.headers["x-called-by"], "hello");
    let asked = inside.0.last();
    assert_eq!(asked.uri.scheme_str(), Some("https"));
    assert_eq!(asked.uri.path_and_query().unwrap(), "/path?q");
    assert!(asked.headers["host"].as_bytes().eq_ignore_ascii_case(b"other.workers.test:8443"));
    assert_eq!(asked.headers["cf-worker"], "hello.workers.test");
    assert!(!asked.headers.contains_key("x-skerry-cf"));
}

#[tokio::test]
async fn a_websocket_to_our_own_host_is_carried() {
    let worker = Worker::beside(loopback(), Arc::new(Inside::default()));
    assert_eq!(crate::tunnel::websocket_round_trip(&worker, "http://a.workers.test/", "hi").await, "hi");
}

#[tokio::test]
async fn a_name_that_the_operator_mapped_is_not_ours() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("outside")) }).await;
    let mut settings = only(address);
    settings.hosts.insert("a.workers.test".to_owned(), address);
    let worker = Worker::beside(settings, Arc::new(Inside::default()));
    assert_eq!(worker.get("http://a.workers.test/").await.text, "outside");
}
