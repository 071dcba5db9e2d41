//! Promises about addresses: what is not public is out of reach, however it is written, unless the operator said so.

use std::collections::HashMap;

use axum::body::Body;
use egress::Settings;
use hyper::{Response, StatusCode};
use tasks::Tasks;
use tokio::net::TcpListener;

use crate::harness::{Worker, loopback, only, origin};

/// Loopback and its like as URLs and `connect()` may write them; the system's resolver understands all of them.
const SPELLINGS: [&str; 24] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "2130706433",
    "0",
    "0.0.0.0",
    "localhost",
    "LocalHost.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "10.0.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
];

#[tokio::test]
async fn addresses_inside_are_refused_in_every_spelling() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let worker = Worker::new(Settings::default());
    for host in SPELLINGS {
        let answer = worker.get(&format!("http://{host}:{port}/")).await;
        assert_eq!((answer.head.status.as_u16(), answer.text.as_str()), (403, "error code: 1021"), "{host}");
        let refused = worker.connect(&format!("{host}:{port}")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{host}");
    }
    let knocked = tokio::time::timeout(std::time::Duration::ZERO, inside.accept()).await;
    assert!(knocked.is_err(), "nothing may have connected");
}

#[tokio::test]
async fn an_allowed_network_is_reached_by_address_and_by_name() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("inside")) }).await;
    let worker = Worker::new(loopback());
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        assert_eq!(worker.get(&format!("http://{host}:{}/", address.port())).await.text, "inside", "{host}");
    }
}

#[tokio::test]
async fn a_mapped_name_is_reached_at_its_address_and_the_address_itself_is_not() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("mapped")) }).await;
    let worker = Worker::with_origin(address);
    for url in ["http://origin.test/", "http://ORIGIN.test:9/", "http://origin.test./"] {
        assert_eq!(worker.get(url).await.text, "mapped", "{url}");
    }
    let socket = worker.connect("origin.test:9").await;
    assert_eq!(socket.status(), StatusCode::OK);
    worker.get(&format!("http://{address}/")).await.assert_failure(403, 1021);
}

#[tokio::test]
async fn mapping_a_name_does_not_open_the_names_below_it() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async { Response::new(Body::from("mapped")) }).await;
    let settings = Settings {
        hosts: HashMap::from([("localhost".to_owned(), address)]),
        ..only("192.0.2.1:1".parse().unwrap())
    };
    let worker = Worker::new(settings);
    assert_eq!(worker.get("http://localhost/").await.text, "mapped");
    assert_ne!(worker.get("http://below.localhost/").await.head.status, StatusCode::OK);
}
