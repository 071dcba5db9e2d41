//! WebSockets pass through the door, keep their process awake, and end when either side or the server does.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::support::{Door, HOST, door, door_with, empty, in_time};

async fn open(door: &Door, path: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(door.address).await.unwrap();
    let request = format!("ws://{HOST}{path}").into_client_request().unwrap();
    in_time(client_async(request, stream)).await.map(|(socket, _)| socket)
}

#[tokio::test]
async fn messages_are_echoed_and_the_process_is_held_until_the_end() {
    let door = door().await;
    let mut socket = open(&door, "/socket").await.unwrap();
    assert_eq!(Arc::strong_count(&door.hold), 3, "the door's, the way's and the socket's");
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time(socket.next()).await.unwrap().unwrap(), message);
    }
    let headers = door.notes.last_headers();
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "upgrade");
    door.shows("skerry_ingress_websockets_total 1");
    socket.close(None).await.unwrap();
    while in_time(socket.next()).await.is_some() {}
    drop(socket);
    assert!(in_time(door.tasks.stop(Duration::from_secs(10))).await);
    assert_eq!(Arc::strong_count(&door.hold), 2);
}

#[tokio::test]
async fn a_close_from_the_worker_reaches_the_client() {
    let door = door().await;
    let mut socket = open(&door, "/socket").await.unwrap();
    socket.send(Message::text("bye")).await.unwrap();
    assert!(matches!(in_time(socket.next()).await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_worker_that_declines_answers_in_plain_http() {
    let door = door().await;
    let Err(Error::Http(response)) = open(&door, "/no-socket").await else { panic!("a plain answer") };
    assert_eq!(response.status(), 200);
    let Err(Error::Http(response)) = open(&door, "/die").await else { panic!("a page") };
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn a_process_that_dies_ends_its_sockets() {
    let door = door().await;
    let mut socket = open(&door, "/socket").await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    in_time(socket.next()).await.unwrap().unwrap();
    door.stop_process().await;
    while let Some(Ok(_)) = in_time(socket.next()).await {}
}

#[tokio::test]
async fn a_process_that_parts_sends_its_clients_away_with_1012() {
    let door = door().await;
    let mut socket = open(&door, "/socket").await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    in_time(socket.next()).await.unwrap().unwrap();
    door.parting.cancel();
    let Some(Ok(Message::Close(Some(close)))) = in_time(socket.next()).await else { panic!("a close frame") };
    assert_eq!(close.code, CloseCode::Restart);
    in_time(async {
        while Arc::strong_count(&door.hold) != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    while in_time(socket.next()).await.is_some() {}
    drop(socket);
    assert!(in_time(door.tasks.stop(Duration::from_secs(10))).await);
}

#[tokio::test]
async fn a_server_that_stops_cuts_sockets_after_the_drain_timeout() {
    let door = door_with(|settings| settings.drain_timeout = Duration::from_millis(50)).await;
    let mut socket = open(&door, "/socket").await.unwrap();
    assert!(in_time(door.tasks.stop(Duration::from_secs(10))).await);
    assert!(!matches!(in_time(socket.next()).await, Some(Ok(_))));
}

#[tokio::test]
async fn websockets_over_http2_are_not_offered() {
    let door = door().await;
    let mut client = door.http2().await;
    let request = Request::connect("hello.localhost:80").body(empty()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 405);
    assert!(door.notes.lines().is_empty());
}
