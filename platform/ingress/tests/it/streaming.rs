//! Bodies pass in both directions as they come, and no faster than the other side takes them.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpSocket};

use crate::support::{Door, HOST, door, in_time, pieces, read_exactly};

const MIB: usize = 1024 * 1024;

/// What may lie between the two ends, most of it in the kernel (its buffers grow to 4 MiB to send and 6 MiB to receive).
const BETWEEN_BYTES_MAX: usize = 16 * MIB;

#[tokio::test]
async fn both_directions_stream_at_once() {
    let door = door().await;
    for is_http2 in [false, true] {
        let (pieces, body) = pieces();
        let target = if is_http2 { "http://hello.localhost/echo" } else { "/echo" };
        let mut request = Request::post(target);
        if !is_http2 {
            request = request.header("host", HOST);
        }
        let request = request.body(body).unwrap();
        pieces.send("0".into()).await.unwrap();
        let mut response = if is_http2 {
            in_time(door.http2().await.send_request(request)).await.unwrap()
        } else {
            in_time(door.http1().await.send_request(request)).await.unwrap()
        };
        assert_eq!(read_exactly(response.body_mut(), 1).await, b"0");
        for turn in 1..100 {
            let piece = format!("piece {turn:03}");
            pieces.send(piece.clone().into()).await.unwrap();
            assert_eq!(read_exactly(response.body_mut(), 9).await, piece.as_bytes());
        }
        drop(pieces);
        let rest = in_time(response.body_mut().collect()).await.unwrap().to_bytes();
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn twenty_megabytes_pass_unchanged_in_both_directions() {
    let door = door().await;
    let (pieces, body) = pieces();
    let request = Request::post("/echo").header("host", HOST).body(body).unwrap();
    let sending = async {
        for number in 0..320_u32 {
            pieces.send(Bytes::from(vec![u8::try_from(number % 251).unwrap(); 64 * 1024])).await.unwrap();
        }
        drop(pieces);
    };
    let receiving = async {
        let mut body = door.http1().await.send_request(request).await.unwrap().into_body();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            for byte in frame.unwrap().into_data().unwrap() {
                assert_eq!(usize::from(byte), count / (64 * 1024) % 251);
                count += 1;
            }
        }
        count
    };
    let ((), count) = in_time(async { tokio::join!(sending, receiving) }).await;
    assert_eq!(count, 20 * MIB);
}

#[tokio::test]
async fn a_worker_gives_no_more_than_the_client_takes() {
    let door = door().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(door.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut taken = 0;
    while taken < 64 * MIB {
        taken += in_time(stream.read(&mut buffer)).await.unwrap();
        give_way().await;
        assert!(passed(&door) < taken + BETWEEN_BYTES_MAX, "{} given, {taken} taken", passed(&door));
    }
}

#[tokio::test]
async fn a_client_gives_no_more_than_the_worker_takes() {
    let door = door().await;
    let (pieces, body) = pieces();
    let request = Request::post("/slow-sink").header("host", HOST).body(body).unwrap();
    let sending = async {
        for piece in 1..=1024 {
            pieces.send(Bytes::from_static(&[7; 64 * 1024])).await.unwrap();
            let given = piece * 64 * 1024;
            assert!(given < passed(&door) + BETWEEN_BYTES_MAX, "{given} given, {} taken", passed(&door));
        }
        drop(pieces);
    };
    let mut client = door.http1().await;
    let receiving =
        async { client.send_request(request).await.unwrap().into_body().collect().await.unwrap() };
    let ((), answer) = in_time(async { tokio::join!(sending, receiving) }).await;
    assert_eq!(answer.to_bytes(), (64 * MIB).to_string());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_to_the_worker() {
    let door = door().await;
    let mut stream = tokio::net::TcpStream::connect(door.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    let mut begin = [0; 1024];
    in_time(stream.read_exact(&mut begin)).await.unwrap();
    drop(stream);
    // The process ends by itself once nobody reads from it: its connection task is waited for.
    in_time(door.tasks.stop(std::time::Duration::from_secs(20))).await;
    let given = passed(&door);
    give_way().await;
    assert_eq!(passed(&door), given);
}

fn passed(door: &Door) -> usize {
    usize::try_from(door.notes.bytes.load(Ordering::SeqCst)).unwrap()
}

/// Lets everybody else do what they can.
async fn give_way() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
