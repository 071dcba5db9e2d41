//! Promises about bodies: they stream both ways, the slower side sets the pace, and giving up is passed on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::{Notify, mpsc},
};

use crate::harness::{
    END_OF_HEAD, FRAME_BYTES, Worker, counted_body, origin, raw_origin, read_until, serve_http, soon,
};

/// 20 MB in all.
const FRAMES: usize = 1_280;

/// What may be under way: the kernel's socket buffers (4 MiB at most on the sending side) and our own, which are small.
const FRAMES_HELD_MAX: usize = 8 * 1024 * 1024 / FRAME_BYTES;

#[tokio::test]
async fn an_origin_that_does_not_read_stalls_the_worker_and_then_gets_everything() {
    let tasks = Tasks::new();
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("origin", async move {
        let (socket, _) = listener.accept().await.unwrap();
        let answer = move |request: Request<Incoming>| {
            let released = Arc::clone(&released);
            async move {
                released.notified().await;
                let bytes = count(request.into_body()).await;
                Response::new(Body::from(bytes.to_string()))
            }
        };
        serve_http(TokioIo::new(socket), answer).await;
    });

    let worker = Worker::with_origin(address);
    let (body, taken) = counted_body(FRAMES);
    let mut sender = worker.open().await;
    let request = Request::post("http://origin.test/").body(body).unwrap();
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    tokio::select! {
        _ = &mut answer => panic!("the origin has not read the request"),
        frames = stalled(&taken) => assert!(frames < FRAMES_HELD_MAX, "{frames} frames were taken"),
    }
    release.notify_one();
    let received = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(received, (FRAMES * FRAME_BYTES).to_string());
}

#[tokio::test]
async fn a_worker_that_does_not_read_stalls_the_origin_and_then_gets_everything() {
    let tasks = Tasks::new();
    let taken = Arc::new(std::sync::Mutex::new(None));
    let keeps = Arc::clone(&taken);
    let address = origin(&tasks, move |_| {
        let (body, counter) = counted_body(FRAMES);
        *keeps.lock().unwrap() = Some(counter);
        async { Response::new(body) }
    })
    .await;
    let worker = Worker::with_origin(address);
    let mut sender = worker.open().await;
    let request = Request::get("http://origin.test/").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let counter = taken.lock().unwrap().clone().unwrap();
    let frames = stalled(&counter).await;
    // Here both kernel buffers of a loopback connection grow: 4 MiB to send and 6 MiB to receive.
    assert!(frames < FRAMES_HELD_MAX * 3 / 2, "{frames} frames were taken");
    assert_eq!(count(response.into_body()).await, FRAMES * FRAME_BYTES);
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |request| async { Response::new(Body::new(request.into_body())) }).await;
    let worker = Worker::with_origin(address);
    let (send, mut queue) = mpsc::channel::<&'static str>(1);
    let stream = futures_util::stream::poll_fn(move |context| {
        queue.poll_recv(context).map(|text| text.map(Ok::<_, std::io::Error>))
    });
    let request = Request::post("http://origin.test/").body(Body::from_stream(stream)).unwrap();
    let mut sender = worker.open().await;
    send.send("first").await.unwrap();
    let mut body = soon(sender.send_request(request)).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    send.send("second").await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
    drop(send);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_worker_that_gives_up_is_passed_on_to_the_origin() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun"] {
        let tasks = Tasks::new();
        let (asked, mut was_asked) = mpsc::channel(1);
        let (closed, mut was_closed) = mpsc::channel(1);
        let address = raw_origin(&tasks, move |mut socket| {
            let (asked, closed) = (asked.clone(), closed.clone());
            async move {
                assert!(read_until(&mut socket, END_OF_HEAD).await);
                socket.write_all(answer.as_bytes()).await.unwrap();
                asked.send(()).await.unwrap();
                while socket.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
                closed.send(()).await.unwrap();
            }
        })
        .await;
        let worker = Worker::with_origin(address);
        let mut connection = worker.connection();
        connection.write_all(b"GET http://origin.test/ HTTP/1.1\r\n\r\n").await.unwrap();
        soon(was_asked.recv()).await.unwrap();
        if !answer.is_empty() {
            assert!(read_until(&mut connection, "begun").await);
        }
        drop(connection);
        soon(was_closed.recv()).await.unwrap();
    }
}

async fn count(mut body: Incoming) -> usize {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    bytes
}

/// Waits until the counter stands still, and says at what. Too short a wait can only make a failing test pass.
async fn stalled(counter: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = counter.load(Ordering::SeqCst);
        if now == before && now > 0 {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
