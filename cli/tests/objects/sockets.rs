//! WebSockets of objects: hibernating ones outlive the instance, keep the process awake, and are sent away with 1012 when the
//! process is replaced.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Message, Server, WebSocket, within};

use crate::support::{SOON, counter, until_processes, updated_counter};

/// workerd lets go of an instance that was not called for ten seconds.
const HIBERNATES_AFTER: Duration = Duration::from_secs(13);

#[tokio::test]
async fn a_hibernating_socket_outlives_its_instance_and_keeps_the_process_awake() {
    let server =
        Server::builder().settings("[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0").start().await;
    server.deploy(&counter("one")).await;
    let mut socket = server.websocket("counter.localhost", "/room").await;
    let first = say(&mut socket, "hello").await;
    assert_eq!(first["instance"], first["since"]);
    tokio::time::sleep(HIBERNATES_AFTER).await;
    assert_eq!(server.children().len(), 1, "the process is awake after many times the idle time");

    let later = say(&mut socket, "still there?").await;
    assert_eq!((&later["message"], &later["since"]), (&json!("still there?"), &first["since"]));
    assert_ne!(
        later["instance"], first["instance"],
        "another instance has got the socket with its attachment"
    );
    socket.send_message(Message::Close(None)).await;
    while socket.next().await.is_some() {}
    until_processes(&server, 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_deployment_sends_sockets_away_with_1012_and_says_no_goodbye_to_objects() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(server.websocket("counter.localhost", "/room").await);
    }
    assert_eq!(say(&mut sockets[0], "hello").await["sockets"], json!(20));
    server.deploy(&updated_counter("two")).await;
    for socket in &mut sockets {
        let closed = within("a close frame", SOON, socket.next()).await;
        let Some(Message::Close(Some(frame))) = closed else { panic!("a close frame, not {closed:?}") };
        assert_eq!(u16::from(frame.code), 1012);
    }
    // Who comes back finds the object as it was, with nobody in it and nobody's goodbye.
    let mut socket = server.websocket("counter.localhost", "/room").await;
    let again = say(&mut socket, "back").await;
    assert_eq!((&again["sockets"], &again["instance"]), (&json!(1), &json!(2)));
    let path = format!(
        "/accounts/{{account}}/workers/durable_objects/namespaces/{}/objects/room",
        crate::support::namespace(&server).await
    );
    let inside = server.api(http::Method::GET, &path, None).await.expect(200).json();
    let tables = inside["result"]["tables"].as_array().expect("tables").iter().map(|table| &table["name"]);
    assert!(!tables.clone().any(|name| name == "goodbyes"), "{inside}");
    socket.send_message(Message::Close(None)).await;
    while socket.next().await.is_some() {}
    server.stop().await;
}

async fn say(socket: &mut WebSocket, text: &str) -> Value {
    socket.send(text).await;
    serde_json::from_str(&socket.next_text().await).expect("JSON")
}
