//! HTTP/2 clients that use what the protocol lets them do, without end (CVE-2019-9511 and those after it, CVE-2023-44487,
//! CVE-2024-27316). Frames are written by hand: no client library would send them.

use testkit::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{ask, connect, has_grown_less, in_time, others_are_served, server};

/// What one connection may hold, with room for noise.
const HELD_BYTES_MAX: u64 = 16 * 1024 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://crowd.localhost/`, by HPACK's static table.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x0fcrowd.localhost";
/// A header of one byte and no value, not to be indexed: the cheapest to send.
const CHEAP_HEADER: &[u8] = b"\x00\x01x\x00";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The streams of a client: odd numbers.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| index * 2 + 1)
}

async fn begin(server: &Server) -> TcpStream {
    let mut client = connect(server).await;
    client.write_all(PREFACE).await.expect("the connection is open");
    client.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("the connection is open");
    client
}

/// Sends until all is sent or the server has hung up; reads nothing meanwhile, for as long as that goes.
async fn flood(client: &mut TcpStream, frames: impl Iterator<Item = Vec<u8>>) {
    let mut batch = Vec::new();
    for frame in frames {
        batch.extend_from_slice(&frame);
        if 64 * 1024 < batch.len() {
            let written = tokio::time::timeout(std::time::Duration::from_secs(2), client.write_all(&batch));
            if !matches!(written.await, Ok(Ok(()))) {
                return;
            }
            batch.clear();
        }
    }
    drop(client.write_all(&batch).await);
}

/// The kinds of the frames that came, until the server hangs up or says `last`.
async fn answers(client: &mut TcpStream, last: u8) -> Vec<(u8, u32)> {
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        if in_time(client.read_exact(&mut head)).await.is_err() {
            return kinds;
        }
        let mut payload =
            vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        if in_time(client.read_exact(&mut payload)).await.is_err() {
            return kinds;
        }
        kinds.push((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])));
        if head[3] == last {
            return kinds;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_over_http2_are_bounded_and_disturb_nobody() {
    let server = server().await;
    let before = server.resident_bytes();
    let request_and_reset = |stream| {
        let mut both = frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST);
        both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        both
    };
    let mut resets = begin(&server).await;
    flood(&mut resets, streams(50_000).map(request_and_reset)).await;
    let mut settings = begin(&server).await;
    flood(&mut settings, (0..200_000).map(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]))).await;
    let mut pings = begin(&server).await;
    flood(&mut pings, (0..200_000).map(|_| frame(PING, 0, 0, &[7; 8]))).await;
    let mut empty = begin(&server).await;
    let first = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x84\x41\x0fcrowd.localhost");
    flood(&mut empty, std::iter::once(first).chain((0..200_000).map(|_| frame(DATA, 0, 1, &[])))).await;
    others_are_served(&server).await;
    has_grown_less(&server, before, 4 * HELD_BYTES_MAX);
    drop((resets, settings, pings, empty));
    ask(&mut connect(&server).await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_close_the_connection() {
    let server = server().await;
    let before = server.resident_bytes();
    let cheap = CHEAP_HEADER.repeat(4000);
    for payload in [&b""[..], &cheap] {
        let mut client = begin(&server).await;
        let first = frame(HEADERS, END_STREAM, 1, REQUEST);
        flood(
            &mut client,
            std::iter::once(first).chain((0..20_000).map(|_| frame(CONTINUATION, 0, 1, payload))),
        )
        .await;
        let kinds = answers(&mut client, GO_AWAY).await;
        assert!(!kinds.iter().any(|(kind, _)| *kind == HEADERS), "{kinds:?}");
        let rest = answers(&mut client, u8::MAX).await;
        assert!(rest.len() < 100, "the server hangs up");
    }
    has_grown_less(&server, before, HELD_BYTES_MAX);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_the_limit_are_refused_and_the_others_answered() {
    let server = server().await;
    let before = server.resident_bytes();
    let mut client = begin(&server).await;
    // Requests whose bodies never come: each stays open.
    let open = frame(HEADERS, END_HEADERS, 0, b"\x83\x86\x44\x05/take\x41\x0fcrowd.localhost");
    let opened = |stream: u32| {
        let mut frame = open.clone();
        frame[5..9].copy_from_slice(&stream.to_be_bytes());
        frame
    };
    flood(&mut client, streams(1000).map(opened)).await;
    let mut refused = 0;
    while refused < 1000 - 250 {
        let kinds = answers(&mut client, RST_STREAM).await;
        assert!(!kinds.is_empty(), "hung up after {refused} refusals");
        refused += kinds.iter().filter(|(kind, stream)| *kind == RST_STREAM && 499 < *stream).count();
    }
    others_are_served(&server).await;
    has_grown_less(&server, before, 2 * HELD_BYTES_MAX);
    // With it go its requests: a stop would wait for them.
    drop(client);
    server.stop().await;
}
