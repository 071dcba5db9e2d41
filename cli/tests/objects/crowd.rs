//! A thousand WebSockets of one object that has been let go: they cost the server little, a word from one of them wakes it, all
//! hear it, each is heard, and nothing is left of them when they have gone.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use testkit::{Message, Script, Server, WebSocket, wait_until};

use crate::support::{binding, with_migrations};

const SOCKETS: usize = 1_000;
/// workerd lets go of an instance that was not called for ten seconds.
const HIBERNATES_AFTER: Duration = Duration::from_secs(13);
/// What the server may hold for one that is silent (promised: less than 20 KiB; measured, debug build: 3 KiB).
const SOCKET_BYTES_MAX: u64 = 10 * 1024;
/// How long a thousand goodbyes may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// Descriptors that come and go with connections that are kept for the next request.
const SPARE: usize = 32;

const ROOM: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class Room extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        this.isNew = true;
    }

    fetch(request) {
        const [client, server] = Object.values(new WebSocketPair());
        this.ctx.acceptWebSocket(server);
        server.serializeAttachment(new URL(request.url).pathname);
        this.isNew = false;
        return new Response(null, { status: 101, webSocket: client });
    }

    webSocketMessage(socket, message) {
        const woken = this.isNew;
        this.isNew = false;
        if (message !== "all") return socket.send(`${message} ${socket.deserializeAttachment()}`);
        for (const other of this.ctx.getWebSockets()) other.send(`hello ${other.deserializeAttachment()} ${woken}`);
    }

    webSocketClose(socket) {
        socket.close();
    }
}

export default {
    fetch: (request, env) => env.ROOM.getByName("all").fetch(request),
};"#;

#[tokio::test]
async fn a_thousand_hibernating_sockets_cost_little_and_are_heard_and_leave_nothing() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("a higher limit");
    let server = Server::start().await;
    let room = Script::module("room", ROOM).binding(binding("ROOM", "Room"));
    server.deploy(&with_migrations(room, json!({ "new_tag": "v1", "new_sqlite_classes": ["Room"] }))).await;
    drop(open(&server, 0).await);
    let child = server.children()[0].pid;
    let before = [descriptors(server.pid()), descriptors(child)];
    let bytes_before = server.resident_bytes();

    let mut sockets = Vec::with_capacity(SOCKETS);
    for number in 0..SOCKETS {
        sockets.push(open(&server, number).await);
    }
    tokio::time::sleep(HIBERNATES_AFTER).await;
    let each = server.resident_bytes().saturating_sub(bytes_before) / SOCKETS as u64;
    assert!(each < SOCKET_BYTES_MAX, "each holds {each} bytes");
    sockets[7].send("all").await;
    let heard = join_all(sockets.iter_mut().map(WebSocket::next_text)).await;
    for (number, heard) in heard.iter().enumerate() {
        assert_eq!(*heard, format!("hello /{number} true"), "what socket {number} heard");
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(&format!("I am {number}")).await;
    }
    let answers = join_all(sockets.iter_mut().map(WebSocket::next_text)).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(*answer, format!("I am {number} /{number}"));
    }

    // Half of them say goodbye, half of them break off.
    for socket in sockets.iter_mut().step_by(2) {
        socket.send_message(Message::Close(None)).await;
    }
    drop(sockets);
    for (process, before) in [server.pid(), child].into_iter().zip(before) {
        let what = format!("the {SOCKETS} sockets of process {process} to be closed");
        wait_until(&what, PATIENCE, || descriptors(process) <= before + SPARE).await;
    }
    server.stop().await;
}

async fn open(server: &Server, number: usize) -> WebSocket {
    server.websocket("room.localhost", &format!("/{number}")).await
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count()
}
