//! Deploys while requests arrive: none fails, none is answered by an older version once the deploy was acknowledged, and a
//! refused deploy changes nothing.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::{cell::Cell, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::json;
use testkit::{Script, Server, WebSocket, within};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::{Client, saying, to};

const DEPLOYS: u64 = 100;
/// A machine of its own needs a tenth of it; this one may have much else to do.
const STORM_LIMIT: Duration = Duration::from_secs(150);

/// Deploys during which a stream and a WebSocket go on; well within what an old version may drain for.
const DEPLOYS_LIVED_THROUGH: u64 = 10;

/// Clients that ask in turn for one thing and the next, 200 times a second together. Every fifth connects anew each time.
const CLIENTS: u64 = 20;
const PERIOD: Duration = Duration::from_millis(100);

/// A Worker that says its number and gives back what it was sent; that streams its number until told to stop; and that says
/// its number over a WebSocket.
fn numbered(number: u64) -> Script {
    let source = r#"
let isOver = false;
export default {
    async fetch(request) {
        const { pathname } = new URL(request.url);
        if (request.headers.get("Upgrade") === "websocket") {
            const [client, server] = Object.values(new WebSocketPair());
            server.accept();
            server.addEventListener("message", ({ data }) => {
                server.send(`NUMBER ${data}`);
                isOver ||= data === "stop";
            });
            return new Response(null, { status: 101, webSocket: client });
        }
        if (pathname !== "/stream") return new Response(`NUMBER ${await request.text()}`);
        const { readable, writable } = new TransformStream();
        const drip = async () => {
            const writer = writable.getWriter();
            while (!isOver) {
                await writer.write(new TextEncoder().encode("NUMBER;"));
                await scheduler.wait(100);
            }
            await writer.write(new TextEncoder().encode("end"));
            await writer.close();
        };
        drip();
        return new Response(readable);
    },
};"#;
    Script::module("steady", &source.replace("NUMBER", &number.to_string()))
}

/// How far the deploys are.
#[derive(Default)]
struct Progress {
    attempted: Cell<u64>,
    acknowledged: Cell<u64>,
    is_over: Cell<bool>,
}

#[tokio::test]
async fn a_hundred_deploys_at_two_hundred_requests_a_second_fail_none_and_never_go_back() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&numbered(0)).await;
    let socket = server.websocket("steady.localhost", "/").await;
    let mut connection = server.connect::<Full<Bytes>>().await;
    let stream = connection.send(to("steady.localhost", "GET", "/stream", "")).await.expect("an answer");
    let mut early = Some((socket, stream));
    let progress = Progress::default();
    let deploys = async {
        for number in 1..=DEPLOYS {
            progress.attempted.set(number);
            let _ = server.try_deploy(&numbered(number)).await.expect(200);
            progress.acknowledged.set(number);
            if number == DEPLOYS_LIVED_THROUGH {
                let (socket, stream) = early.take().expect("it is taken once");
                leave(socket, stream).await;
            }
        }
        progress.is_over.set(true);
    };
    let begin = Instant::now();
    let loads = join_all((0..CLIENTS).map(|client| load(&server, &progress, client)));
    let ((), counts) = within("a hundred deploys", STORM_LIMIT, async { tokio::join!(deploys, loads) }).await;
    let (count, seconds) = (counts.iter().sum::<u64>(), begin.elapsed().as_secs_f64());
    println!("{DEPLOYS} deploys in {seconds:.1} s under {count} requests");
    assert!(5 * DEPLOYS < count, "hardly any load: {counts:?}");
    server.stop().await;
}

/// Whoever was there before the first deploy is still with the version that answered then, whole.
async fn leave(mut socket: WebSocket, stream: Response<Incoming>) {
    socket.send("stop").await;
    assert_eq!(socket.next_text().await, "0 stop");
    let text = stream.into_body().collect().await.expect("the stream comes to its end").to_bytes();
    let text = String::from_utf8(text.to_vec()).expect("text");
    let drops = text.strip_suffix("end").expect("a whole answer");
    assert!(5 < drops.len() && drops.replace("0;", "").is_empty(), "{text}");
}

/// Asks at its own pace until the deploys are over; says how often. Each answer is whole and by a version that was not yet
/// replaced when the request was sent.
async fn load(server: &Server, progress: &Progress, client: u64) -> u64 {
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut kept = Client::open(server.http()).await;
    let mut count: u64 = 0;
    while !progress.is_over.get() {
        pace.tick().await;
        count += 1;
        let body =
            if count.is_multiple_of(2) { String::new() } else { format!("{client}-{count}").repeat(200) };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = to("steady.localhost", method, "/", body.clone());
        let floor = progress.acknowledged.get();
        let answer = if client.is_multiple_of(5) {
            Client::open(server.http()).await.send(request).await.expect("an answer")
        } else {
            kept.send(request).await.expect("an answer")
        };
        let text = answer.expect(200).text();
        let (number, echo) = text.split_once(' ').expect("a number and what was sent");
        let number: u64 = number.parse().expect("the Worker says its number");
        assert!(floor <= number && number <= progress.attempted.get(), "{number} answered after {floor}");
        assert!(echo == body, "{echo} came back for {body}");
    }
    count
}

#[tokio::test]
async fn a_refused_deploy_says_why_and_leaves_the_old_version_serving() {
    let server = Server::start().await;
    server.deploy(&saying("firm", "first")).await;
    let mut unknown_flag = saying("firm", "x");
    unknown_flag.metadata["compatibility_flags"] = json!(["no_such_flag"]);
    let refused = [
        (Script::module("firm", "export default { fetch("), "SyntaxError"),
        (Script::module("firm", "throw new Error('not today'); export default {}"), "not today"),
        (Script::module("firm", "while (true) {}; export default {}"), "CPU time limit"),
        (Script::module("firm", "import './gone.js'; export default {}"), "gone.js"),
        (unknown_flag, "no_such_flag"),
    ];
    for (script, words) in refused {
        let answer = server.try_deploy(&script).await.expect(400).json();
        let error = &answer["errors"][0];
        assert_eq!(error["code"], 10_021, "{answer}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "`{message}` should say `{words}`");
        assert_eq!(server.get("firm.localhost", "/").await.expect(200).text(), "first");
    }
    assert_eq!(server.children().len(), 1, "a refused version leaves no process");
    server.deploy(&saying("firm", "second")).await;
    assert_eq!(server.get("firm.localhost", "/").await.expect(200).text(), "second");
    server.stop().await;
}
