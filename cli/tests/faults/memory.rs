//! What the server itself takes: while its Workers sleep, and while many large values are on their way at once.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use testkit::{Server, send};

use crate::support::{peak_resident_bytes, saying, until_processes};

const WORKERS: usize = 10;

/// The promise is 30 MiB resident by the release build, program and all: a row of `cargo xtask bench`. A debug build's
/// program is several times as large, so what is held here is the rest: heaps and stacks.
const ANONYMOUS_BYTES_MAX: u64 = 10 * 1024 * 1024;

#[tokio::test]
async fn ten_workers_asleep_leave_the_server_small() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    for number in 0..WORKERS {
        let name = format!("sleeper-{number}");
        server.deploy(&saying(&name, &name)).await;
        let _ = server.get(&format!("{name}.localhost"), "/").await.expect(200);
    }
    until_processes(&server, 0, Duration::from_secs(30)).await;
    let (resident_bytes, anonymous_bytes) = (server.resident_bytes(), server.anonymous_bytes());
    println!("{WORKERS} Workers asleep: {} KiB resident", resident_bytes / 1024);
    println!("{WORKERS} Workers asleep: {} KiB of them heap and stack", anonymous_bytes / 1024);
    assert!(anonymous_bytes < ANONYMOUS_BYTES_MAX, "{anonymous_bytes} bytes");
    server.stop().await;
}

/// Values of the largest size, all at once.
const LARGE_VALUES: u64 = 16;
const VALUE_BYTES: usize = 25 * 1024 * 1024;

/// What each of them may take on its way: some pieces of it, and room in sockets.
const VALUE_ON_ITS_WAY_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[tokio::test]
async fn sixteen_of_the_largest_kv_values_at_once_are_written_and_read_in_little_memory() {
    let server = Server::start().await;
    let path = "/accounts/{account}/storage/kv/namespaces";
    let made = server.api(Method::POST, path, Some(&json!({ "title": "large" }))).await.expect(200);
    let values = format!("{path}/{}/values", made.json()["result"]["id"].as_str().expect("an id"));
    let before = server.resident_bytes();
    let content = Bytes::from(vec![7; VALUE_BYTES]);
    for method in [Method::PUT, Method::GET] {
        let exchange = |number| {
            let request = server.api_request(method.clone(), &format!("{values}/{number}"));
            let body = if method == Method::PUT { content.clone() } else { Bytes::new() };
            send(server.api_address(), request.body(body).expect("a valid request"))
        };
        let answers = futures_util::future::join_all((0..LARGE_VALUES).map(exchange)).await;
        for answer in answers {
            let answer = answer.expect(200);
            assert!(method == Method::PUT || answer.body == content, "{} bytes came back", answer.body.len());
        }
        let grown = peak_resident_bytes(server.pid()).saturating_sub(before);
        println!("{LARGE_VALUES} values at once by {method}: the server's peak grew by {} KiB", grown / 1024);
        assert!(grown < LARGE_VALUES * VALUE_ON_ITS_WAY_BYTES_MAX, "{grown} bytes");
    }
    server.stop().await;
}

/// An object that no buffer on the way would take whole.
const OBJECT_BYTES: usize = 256 * 1024 * 1024;
const OBJECT_ON_ITS_WAY_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[tokio::test]
async fn a_large_r2_object_passes_through_in_little_memory() {
    let server = Server::start().await;
    let buckets = "/accounts/{account}/r2/buckets";
    let _ = server.api(Method::POST, buckets, Some(&json!({ "name": "large" }))).await.expect(200);
    let path = format!("{buckets}/large/objects/object");
    let before = server.resident_bytes();
    let content = Bytes::from(vec![7; OBJECT_BYTES]);
    let put = server.api_request(Method::PUT, &path).body(content.clone()).expect("a valid request");
    let _ = send(server.api_address(), put).await.expect(200);
    let get = server.api_request(Method::GET, &path).body(Bytes::new()).expect("a valid request");
    let answer = send(server.api_address(), get).await.expect(200);
    assert!(answer.body == content, "{} bytes came back", answer.body.len());
    let grown = peak_resident_bytes(server.pid()).saturating_sub(before);
    println!("an object of {OBJECT_BYTES} bytes: the server's peak grew by {} KiB", grown / 1024);
    assert!(grown < OBJECT_ON_ITS_WAY_BYTES_MAX, "{grown} bytes");
    server.stop().await;
}
