//! The end that an operator asks for: what runs is finished, nothing new begins, and the server's exit code says well done.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use rustix::process::Signal;
use testkit::{Script, Server, wait_until, within};
use tokio::net::TcpStream;

use crate::support::{SOON, to};

const SLOW: &str = r#"
export default {
    fetch() {
        const { readable, writable } = new TransformStream();
        const drip = async () => {
            const writer = writable.getWriter();
            for (let n = 0; n < 8; n++) {
                await writer.write(new TextEncoder().encode("drop "));
                await scheduler.wait(250);
            }
            await writer.close();
        };
        drip();
        return new Response(readable);
    },
};"#;

#[tokio::test]
async fn a_stopped_server_finishes_what_it_answers_and_takes_nothing_new() {
    let server = Server::start().await;
    server.deploy(&Script::module("slow", SLOW)).await;
    let mut connection = server.connect::<Full<Bytes>>().await;
    let response = connection.send(to("slow.localhost", "GET", "/", "")).await.expect("an answer");
    let mut body = response.into_body();
    let _ = body.frame().await.expect("a beginning").expect("no error");
    let (http, api) = (server.http().to_owned(), server.api_address().to_owned());
    let children = server.children();
    server.signal(Signal::TERM);
    for address in [http, api] {
        within("the refusal of new connections", Duration::from_secs(1), async {
            while TcpStream::connect(&address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    assert!(children[0].is_alive(), "the answer is still being written");
    let stop = within("the server's end", Duration::from_secs(30), server.stop());
    let (rest, _) = tokio::join!(body.collect(), stop);
    assert_eq!(rest.expect("the answer comes to its end").to_bytes(), "drop ".repeat(7));
    wait_until("the children's end", SOON, || !children[0].is_alive()).await;
}

#[tokio::test]
async fn a_server_with_open_websockets_and_idle_connections_stops_at_its_deadline() {
    let server = Server::builder().settings("[server]\ndrain_timeout_secs = 1").start().await;
    server.log().expect("Requests still ran at the drain deadline and are cut");
    let echo = r#"
export default {
    fetch() {
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        return new Response(null, { status: 101, webSocket: client });
    },
};"#;
    server.deploy(&Script::module("socket", echo)).await;
    let mut socket = server.websocket("socket.localhost", "/").await;
    let _idle = TcpStream::connect(server.http()).await.expect("connect");
    within("the server's end", Duration::from_secs(10), server.stop()).await;
    while socket.next().await.is_some() {}
}
