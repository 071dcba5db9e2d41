//! A server with one Worker, and a well-behaved client that notes how long it waits.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::{Script, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const HOST: &str = "crowd.localhost";

/// Larger than all buffers on its way.
pub(crate) const LARGE_BYTES: u64 = 64 * 1024 * 1024;

const WORKER: &str = r#"
const chunk = new Uint8Array(64 * 1024);
export default {
    async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/take") return new Response(String((await request.arrayBuffer()).byteLength));
        if (pathname !== "/large") return new Response("ok");
        let left = 1024;
        return new Response(new ReadableStream({
            pull(controller) { if (left-- === 0) controller.close(); else controller.enqueue(chunk); },
        }));
    },
};"#;

/// What the usual client asks for.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: crowd.localhost\r\n\r\n";
const ANSWER_END: &[u8] = b"\r\n\r\nok";

/// How long one of a hundred requests may take at most. An undisturbed one takes about a millisecond, but the machine may be
/// compiling beside the test; whoever waits for a slow client waits for ever.
const P99_MAX: Duration = Duration::from_secs(3);
/// No single step takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn server() -> Server {
    let server = Server::start().await;
    server.deploy(&Script::module("crowd", WORKER)).await;
    // Memory that is taken once: code pages, pools, the allocator's arenas.
    let mut client = connect(&server).await;
    for _ in 0..200 {
        ask(&mut client).await;
    }
    server
}

pub(crate) async fn connect(server: &Server) -> TcpStream {
    in_time(TcpStream::connect(server.http())).await.expect("the door listens")
}

/// One request on a kept connection.
pub(crate) async fn ask(client: &mut TcpStream) {
    client.write_all(REQUEST).await.expect("the connection is open");
    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(ANSWER_END) {
        let bytes = in_time(client.read_buf(&mut answer)).await.expect("the connection is open");
        assert_ne!(bytes, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
}

/// Fails if whoever behaves has to wait, on a kept connection and on new ones.
pub(crate) async fn others_are_served(server: &Server) {
    let mut kept = connect(server).await;
    let mut waits = Vec::new();
    for round in 0..400 {
        let began = now();
        if round % 4 == 0 {
            ask(&mut connect(server).await).await;
        } else {
            ask(&mut kept).await;
        }
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    println!("half of the requests took {:?}, one of a hundred {p99:?} and more", waits[waits.len() / 2]);
    assert!(p99 < P99_MAX, "one of a hundred requests took {p99:?} and more; half took {:?}", waits[200]);
}

/// Fails unless the server has taken less than `bytes_max` since it had `before`.
pub(crate) fn has_grown_less(server: &Server, before: u64, bytes_max: u64) {
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < bytes_max, "grown by {} KiB, allowed {} KiB", grown / 1024, bytes_max / 1024);
}

/// Lets this process open as many sockets as it may.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("the soft limit may be as high as the hard one");
}

/// Fails the test instead of letting it hang.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[expect(clippy::disallowed_methods, reason = "how long a client waits is real time")]
fn now() -> Instant {
    Instant::now()
}
