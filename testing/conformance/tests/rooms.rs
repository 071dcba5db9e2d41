//! The example `rooms` (partyserver, and Hono's WebSocket helper) deploys with both wranglers and does over WebSockets what its
//! README says, across the time after which an object is let go; the same drive passes on the reference.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, header::HOST};
use serde_json::json;
use testkit::{Message, Project, Server, WebSocket, Wrangler, send};

const ROOMS: &str = "rooms.localhost";
/// workerd lets go of an instance that was not called for ten seconds.
const HIBERNATES_AFTER: Duration = Duration::from_secs(12);

#[tokio::test]
async fn rooms_answer_after_a_deployment_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let server = Server::start().await;
        let project = Project::example("rooms");
        server.wrangler(wrangler, project.path()).args(["deploy"]).succeed().await;
        drive(server.http()).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn rooms_answer_the_same_on_the_reference() {
    let project = Project::example("rooms");
    let command = Wrangler::New.command(project.path(), &BTreeMap::new());
    let dev = command.args(["dev", "--ip", "127.0.0.1", "--port", "0"]).start();
    let ready = dev.log().wait_for("Ready on http://", Duration::from_secs(60)).await;
    let (_, address) = ready.split_once("http://").expect("the line was found by this text");
    drive(address.trim()).await;
}

async fn drive(address: &str) {
    let mut echo = WebSocket::open(address, ROOMS, "/echo?greeting=hello").await;
    echo.send("world").await;
    assert_eq!(echo.next_text().await, "hello: world");
    echo.send("bye").await;
    let Some(Message::Close(Some(frame))) = echo.next().await else { panic!("a close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "after 2"));

    let mut ada = WebSocket::open(address, ROOMS, "/parties/room/lobby?name=ada").await;
    let mut bob = WebSocket::open(address, ROOMS, "/parties/room/lobby?name=bob").await;
    assert_eq!(ada.next_text().await, "bob came into lobby");
    let mut elsewhere = WebSocket::open(address, ROOMS, "/parties/room/attic?name=eve").await;
    ada.send("hello").await;
    assert_eq!([ada.next_text().await, bob.next_text().await], ["ada: hello", "ada: hello"]);
    tokio::time::sleep(HIBERNATES_AFTER).await;
    bob.send("still here").await;
    assert_eq!([ada.next_text().await, bob.next_text().await], ["bob: still here", "bob: still here"]);
    elsewhere.send("nobody hears me").await;
    assert_eq!(elsewhere.next_text().await, "eve: nobody hears me");
    bob.send_message(Message::Close(None)).await;
    assert_eq!(ada.next_text().await, "bob left");

    let request = Request::get("/parties/room/lobby").header(HOST, ROOMS).body(Bytes::new());
    let said = send(address, request.expect("a valid path")).await.expect(200).json();
    assert_eq!(said, json!([{ "guest": "ada", "text": "hello" }, { "guest": "bob", "text": "still here" }]));
    let request = Request::get("/parties/nothing/x").header(HOST, ROOMS).body(Bytes::new());
    let missing = send(address, request.expect("a valid path")).await;
    assert!(missing.status.is_client_error(), "{}", missing.status);
}
