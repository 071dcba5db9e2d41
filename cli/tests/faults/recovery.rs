//! How soon and how whole things are back: a Worker after its process was killed, the server's state after the server was.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, header};
use http_body_util::Full;
use rustix::process::Signal;
use serde_json::json;
use testkit::{Answer, DataFolder, Script, Server, wait_until};

use crate::support::{Client, Random, SOON, saying, signal};

/// Processes killed for one figure; each version's is killed twice, which is answered by an immediate start.
const KILLS: usize = 20;
const KILLS_OF_A_VERSION: usize = 2;

/// What an optimised server on an idle machine promises is 200 ms; this is a debug build, and other tests run beside it.
const BACK_MEDIAN_MAX: Duration = SOON;

#[tokio::test]
async fn a_killed_worker_is_back_at_once() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    for text in ["Worker's process ended unasked", "Worker ended without an answer"] {
        server.log().expect(text);
    }
    for (size, filler) in [("small", String::new()), ("500 KB", bundle(500_000))] {
        let mut waits = Vec::new();
        for number in 0..KILLS / KILLS_OF_A_VERSION {
            let source = format!("{filler}export default {{ fetch: () => new Response('{number}') }};");
            server.deploy(&Script::module("mortal", &source)).await;
            for _ in 0..KILLS_OF_A_VERSION {
                let _ = server.get("mortal.localhost", "/").await.expect(200);
                waits.push(back_after_a_kill(&server, &number.to_string()).await);
            }
        }
        waits.sort_unstable();
        let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        println!("{size}: back after {median:?} (median), {worst:?} (worst of {})", waits.len());
        assert!(median < BACK_MEDIAN_MAX, "{size}: {waits:?}");
    }
    server.stop().await;
}

/// From the kill to the answer of a request that is sent after it.
async fn back_after_a_kill(server: &Server, expected: &str) -> Duration {
    let children = server.children();
    assert!(!children.is_empty(), "somebody just answered");
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    let begin = Instant::now();
    for child in children {
        signal(&child, Signal::KILL);
    }
    loop {
        let answer = server.get("mortal.localhost", "/").await;
        match answer.status.as_u16() {
            // Handed over to the process as it died.
            502 => {}
            _ => {
                assert_eq!(answer.expect(200).text(), expected);
                return begin.elapsed();
            }
        }
    }
}

/// Code of so many bytes that is parsed, compiled where it is used, and run in part.
fn bundle(bytes: usize) -> String {
    let mut source = String::new();
    let mut number = 0;
    while source.len() < bytes {
        source += &format!(
            "function part{number}(a, b) {{ const list = [a, b, {number}]; return list.map((n) => n * {number}); }}\nconst made{number} = part{number}({number}, 1);\n"
        );
        number += 1;
    }
    source
}

/// Kills of the server in the middle of changes.
const SERVER_KILLS: usize = 50;
const SEED: u64 = 0x5eed_0002;

/// How long the first acknowledgement after a start may take.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// The longest that changes go on before a kill, once one of the kind in turn was acknowledged.
const STREAM_MS_MAX: u64 = 60;

/// The number of the last change that was sent, and of the last that was acknowledged; numbers only grow.
#[derive(Debug, Default)]
struct Known {
    attempted: Cell<u64>,
    acknowledged: Cell<u64>,
}

impl Known {
    /// Makes one change after the other until one is not acknowledged.
    async fn follow(&self, mut change: impl AsyncFnMut(u64) -> Option<Answer>) {
        loop {
            self.attempted.set(self.attempted.get() + 1);
            let Some(answer) = change(self.attempted.get()).await else { return };
            let _ = answer.expect(200);
            self.acknowledged.set(self.attempted.get());
        }
    }

    fn check(&self, what: &str, found: &str) {
        let found: u64 = found.parse().unwrap_or_else(|_| panic!("{what}: `{found}`"));
        let is_kept = self.acknowledged.get() <= found && found <= self.attempted.get();
        assert!(is_kept, "{what}: {found}, but {self:?}");
    }
}

#[derive(Debug, Default)]
struct Ledger {
    deploys: Known,
    secrets: Known,
    rollbacks: Known,
}

#[tokio::test]
async fn fifty_kills_amid_deploys_secrets_and_rollbacks_lose_nothing_acknowledged() {
    let mut random = Random::seeded(SEED);
    let folder = Arc::new(DataFolder::new());
    let mut server = Server::builder().folder(&folder).start().await;
    server.deploy(&saying("deployed", "0")).await;
    let secretive = "export default { fetch: (request, env) => new Response(env.SECRET) };";
    let first = json!({"name": "SECRET", "type": "secret_text", "text": "0"});
    server.deploy(&Script::module("secretive", secretive).binding(first)).await;
    let mut versions = Vec::new();
    for text in ["one", "two"] {
        let deployed = server.deploy(&saying("flipped", text)).await;
        versions.push(deployed["result"]["deployment_id"].as_str().expect("an id").to_owned());
    }
    let ledger = Ledger::default();
    let kinds = [&ledger.deploys, &ledger.secrets, &ledger.rollbacks];
    for kind in kinds.into_iter().cycle().take(SERVER_KILLS) {
        let before = kind.acknowledged.get();
        let kill = async {
            wait_until("an acknowledged change", ROUND_LIMIT, || before < kind.acknowledged.get()).await;
            tokio::time::sleep(Duration::from_millis(random.below(STREAM_MS_MAX))).await;
            server.signal(Signal::KILL);
        };
        tokio::join!(change_until_killed(&server, &ledger, &versions), kill);
        server.kill().await;
        server = Server::builder().folder(&folder).start().await;
        check(&server, &ledger).await;
    }
    println!("{ledger:?}");
    server.stop().await;
}

async fn change_until_killed(server: &Server, ledger: &Ledger, versions: &[String]) {
    let (mut deploying, mut hiding, mut flipping) = (
        Client::open(server.api_address()).await,
        Client::open(server.api_address()).await,
        Client::open(server.api_address()).await,
    );
    let scripts = "/accounts/{account}/workers/scripts";
    let deploy = async |number: u64| {
        let (content_type, body) = saying("deployed", &number.to_string()).multipart();
        let request = server.api_request(Method::PUT, &format!("{scripts}/deployed"));
        let request = request.header(header::CONTENT_TYPE, content_type);
        deploying.send(request.body(Full::new(body.into())).expect("a valid path")).await
    };
    let hide = async |number: u64| {
        let body = json!({"name": "SECRET", "type": "secret_text", "text": number.to_string()});
        let request = server.api_request(Method::PUT, &format!("{scripts}/secretive/secrets"));
        hiding.send(request.body(Full::new(body.to_string().into())).expect("a valid path")).await
    };
    let flip = async |number: u64| {
        let to = if number.is_multiple_of(2) { &versions[0] } else { &versions[1] };
        let body = json!({
            "strategy": "percentage",
            "versions": [{"version_id": to, "percentage": 100}],
            "annotations": {"workers/message": number.to_string()},
        });
        let request = server.api_request(Method::POST, &format!("{scripts}/flipped/deployments"));
        flipping.send(request.body(Full::new(body.to_string().into())).expect("a valid path")).await
    };
    let Ledger { deploys, secrets, rollbacks } = ledger;
    tokio::join!(deploys.follow(deploy), secrets.follow(hide), rollbacks.follow(flip));
}

async fn check(server: &Server, ledger: &Ledger) {
    let text = async |host: &str| server.get(host, "/").await.expect(200).text();
    ledger.deploys.check("the deployed code", &text("deployed.localhost").await);
    ledger.secrets.check("the secret", &text("secretive.localhost").await);
    if 0 < ledger.rollbacks.acknowledged.get() {
        let path = "/accounts/{account}/workers/scripts/flipped/deployments";
        let list = server.api(Method::GET, path, None).await.expect(200).json();
        let message = &list["result"]["deployments"][0]["annotations"]["workers/message"];
        ledger.rollbacks.check("the rollback", message.as_str().unwrap_or_default());
    }
}
