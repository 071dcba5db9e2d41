//! Clients that keep everybody waiting, or would: they send a request's headers, or its body, byte by byte, or take no byte
//! of a large answer.

use testkit::Server;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    HOST, LARGE_BYTES, ask, connect, has_grown_less, others_are_served, raise_descriptor_limit, server,
};

const CLIENTS: usize = 300;

/// What one of them may hold: see "Limits" in the ingress's README.
const HELD_BYTES_MAX: u64 = 1024 * 1024;
const _: () = assert!(HELD_BYTES_MAX < LARGE_BYTES, "answers are larger than what may be held of them");

async fn crowd(server: &Server, request: &str) -> Vec<TcpStream> {
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut client = connect(server).await;
        client.write_all(request.as_bytes()).await.expect("the connection is open");
        clients.push(client);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_disturb_nobody() {
    raise_descriptor_limit();
    let server = server().await;
    let before = server.resident_bytes();
    let slow_headers = crowd(&server, &format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: ")).await;
    let slow_bodies =
        crowd(&server, &format!("POST /take HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n"))
            .await;
    let slow_readers = crowd(&server, &format!("GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    let mut clients: Vec<_> = slow_headers.into_iter().chain(slow_bodies).collect();
    for client in &mut clients {
        client.write_all(b"x").await.expect("the connection is open");
    }
    others_are_served(&server).await;
    let count = u64::try_from(slow_readers.len()).expect("a small number");
    has_grown_less(&server, before, 3 * count * HELD_BYTES_MAX / 2);
    drop((clients, slow_readers));
    // Whoever goes in the middle leaves nothing behind that matters to the next.
    ask(&mut connect(&server).await).await;
    server.stop().await;
}
