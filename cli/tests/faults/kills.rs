//! Processes killed without warning: the server's own loses nothing that was acknowledged and leaves nobody behind; a
//! Worker's costs no more than the requests that cannot be repeated.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use http::{Method, header};
use http_body_util::Full;
use rustix::process::Signal;
use serde_json::json;
use testkit::{Script, Server, wait_until, within};

use crate::support::{Client, Random, SOON, saying, signal, to};

/// Restarts on one folder.
const ROUNDS: usize = 4;
/// Clients that write at once, through each of the two doors.
const WRITERS: usize = 4;
/// Keys of each writer, written again and again.
const KEYS: u64 = 5;
const SEED: u64 = 0x5eed_0001;

const STORE: &str = r#"
export default {
    async fetch(request, env) {
        const key = new URL(request.url).pathname.slice(1);
        if (request.method === "PUT") {
            await env.KV.put(key, await request.text());
            return new Response("kept");
        }
        const all = {};
        for (const { name } of (await env.KV.list()).keys) all[name] = Number(await env.KV.get(name));
        return Response.json(all);
    },
};"#;

/// What is known of one key, or of the deployed Worker: a value counts up, so any newer one proves the acknowledged one.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    attempted: u64,
    acknowledged: u64,
}

type Ledger = BTreeMap<String, Known>;

#[tokio::test]
async fn a_killed_server_leaves_no_process_and_loses_nothing_acknowledged() {
    let mut random = Random::seeded(SEED);
    let mut server = Server::start().await;
    let title = json!({ "title": "ledger" });
    let created = server.api(Method::POST, "/accounts/{account}/storage/kv/namespaces", Some(&title)).await;
    let namespace = created.json()["result"]["id"].as_str().expect("a namespace has an id").to_owned();
    let binding = json!({ "name": "KV", "type": "kv_namespace", "namespace_id": namespace });
    server.deploy(&Script::module("store", STORE).binding(binding)).await;
    server.deploy(&saying("counter", "0")).await;

    let (mut ledger, mut deploys) = (Ledger::new(), Known::default());
    for _ in 0..ROUNDS {
        let before: u64 = ledger.values().map(|known| known.acknowledged).sum();
        let kill_after = Duration::from_millis(150 + random.below(500));
        let ledgers = tokio::join!(
            join_all((0..WRITERS).map(|writer| write_through_binding(&server, writer, &ledger))),
            join_all((0..WRITERS).map(|writer| write_through_rest(&server, &namespace, writer, &ledger))),
            deploy_on(&server, &mut deploys),
            async {
                tokio::time::sleep(kill_after).await;
                server.signal(Signal::KILL);
            },
        );
        ledger = ledgers.0.into_iter().chain(ledgers.1).flatten().collect();
        let after: u64 = ledger.values().map(|known| known.acknowledged).sum();
        assert!(before < after, "nothing was written in {kill_after:?}");

        let folder = server.kill().await;
        server = Server::builder().folder(&folder).start().await;
        check(&server, &ledger, deploys).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_killed_server_takes_its_engine_processes_along() {
    let server = Server::start().await;
    for name in ["one", "two", "three"] {
        server.deploy(&saying(name, name)).await;
        let _ = server.get(&format!("{name}.localhost"), "/").await.expect(200);
    }
    let children = server.children();
    assert_eq!(children.len(), 3);
    let folder = server.kill().await;
    wait_until("the children's end", SOON, || !children.iter().any(|child| child.is_alive())).await;

    let server = Server::builder().folder(&folder).start().await;
    for name in ["one", "two", "three"] {
        assert_eq!(server.get(&format!("{name}.localhost"), "/").await.expect(200).text(), name);
    }
    server.stop().await;
}

/// Writes until the connection breaks off; returns what it knows of its keys.
async fn write_through_binding(server: &Server, writer: usize, known: &Ledger) -> Ledger {
    let mut client = Client::open(server.http()).await;
    write(&format!("binding-{writer}"), known, async |key, value| {
        client.send(to("store.localhost", "PUT", &format!("/{key}"), value)).await.is_some_and(is_good)
    })
    .await
}

async fn write_through_rest(server: &Server, namespace: &str, writer: usize, known: &Ledger) -> Ledger {
    let mut client = Client::open(server.api_address()).await;
    write(&format!("rest-{writer}"), known, async |key, value| {
        let path = format!("/accounts/{{account}}/storage/kv/namespaces/{namespace}/values/{key}");
        let request = server.api_request(Method::PUT, &path).header(header::CONTENT_TYPE, "text/plain");
        client.send(request.body(Full::new(value.into())).expect("a valid path")).await.is_some_and(is_good)
    })
    .await
}

fn is_good(answer: testkit::Answer) -> bool {
    answer.status.is_success()
}

async fn write(writer: &str, known: &Ledger, mut put: impl AsyncFnMut(&str, String) -> bool) -> Ledger {
    let keys = (0..KEYS).map(|number| format!("{writer}-{number}"));
    let mut ledger: Ledger =
        keys.map(|key| (key.clone(), known.get(&key).copied().unwrap_or_default())).collect();
    loop {
        for (key, known) in &mut ledger {
            known.attempted += 1;
            if !put(key, known.attempted.to_string()).await {
                return ledger;
            }
            known.acknowledged = known.attempted;
        }
    }
}

/// Deploys a Worker again and again, with a number that counts up.
async fn deploy_on(server: &Server, known: &mut Known) {
    let mut client = Client::open(server.api_address()).await;
    loop {
        known.attempted += 1;
        let request = upload(server, &saying("counter", &known.attempted.to_string()));
        if !client.send(request).await.is_some_and(is_good) {
            return;
        }
        known.acknowledged = known.attempted;
    }
}

fn upload(server: &Server, script: &Script) -> http::Request<Full<bytes::Bytes>> {
    let (content_type, body) = script.multipart();
    let path = format!("/accounts/{{account}}/workers/scripts/{}", script.name);
    let request = server.api_request(Method::PUT, &path).header(header::CONTENT_TYPE, content_type);
    request.body(Full::new(body.into())).expect("a valid path")
}

/// Asserts that the restarted server has each acknowledged value, or one that was attempted later.
async fn check(server: &Server, ledger: &Ledger, deploys: Known) {
    let all = server.get("store.localhost", "/").await.expect(200).json();
    for (key, known) in ledger {
        let value = all[key].as_u64().unwrap_or(0);
        assert!(known.acknowledged <= value && value <= known.attempted, "{key} is {value}, but {known:?}");
    }
    let text = server.get("counter.localhost", "/").await.expect(200).text();
    let deployed: u64 = text.parse().expect("the Worker says its number");
    assert!(
        deploys.acknowledged <= deployed && deployed <= deploys.attempted,
        "{deployed} answers: {deploys:?}"
    );
}

const SLOW_POSTS: &str = r#"
export default {
    async fetch(request) {
        if (request.method === "POST") await scheduler.wait(30);
        return new Response("fine");
    },
};"#;

/// Kills of a Worker's process under load; fewer than what counts as crashing in a row.
const KILLS: usize = 2;

#[tokio::test]
async fn a_killed_worker_process_fails_no_get_and_hangs_no_post() {
    let server = Server::start().await;
    for text in ["Worker's process ended unasked", "Worker ended without an answer"] {
        server.log().expect(text);
    }
    server.deploy(&Script::module("busy", SLOW_POSTS)).await;
    let is_over = Cell::new(false);
    let load = async |method: &str| {
        let mut client = Client::open(server.http()).await;
        let mut statuses = BTreeMap::<u16, usize>::new();
        while !is_over.get() {
            let answer = client.send(to("busy.localhost", method, "/", "")).await.expect("an answer");
            if answer.status != 200 {
                assert!(answer.text().contains("ray id: "), "not our page: {}", answer.text());
            }
            *statuses.entry(answer.status.as_u16()).or_default() += 1;
        }
        statuses
    };
    let kills = async {
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let children = server.children();
            assert_eq!(children.len(), 1, "{children:?}");
            signal(&children[0], Signal::KILL);
            let other = || server.children().first().is_some_and(|child| *child != children[0]);
            wait_until("a new process", SOON, other).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        is_over.set(true);
    };
    let (gets, posts, ()) =
        tokio::join!(join_all((0..6).map(|_| load("GET"))), join_all((0..6).map(|_| load("POST"))), kills);
    for statuses in gets {
        assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    }
    for statuses in posts {
        assert!(statuses.contains_key(&200), "{statuses:?}");
        assert!(statuses.keys().all(|status| [200, 502, 503].contains(status)), "{statuses:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_worker_whose_process_keeps_dying_is_started_less_and_less_often() {
    let server = Server::start().await;
    for text in ["Worker's process ended unasked", "Worker ended without an answer", "Worker unavailable"] {
        server.log().expect(text);
    }
    server.deploy(&saying("mortal", "alive")).await;
    let is_over = Cell::new(false);
    let load = async || {
        let mut client = Client::open(server.http()).await;
        while !is_over.get() {
            let answer = client.get("mortal.localhost", "/").await.expect("an answer");
            match answer.status.as_u16() {
                200 | 502 => {}
                503 => assert!(answer.headers.contains_key(header::RETRY_AFTER), "{answer:?}"),
                _ => panic!("{answer:?}"),
            }
        }
    };
    let kills = async {
        let mut killed = Vec::new();
        let end = tokio::time::Instant::now() + Duration::from_secs(2);
        while tokio::time::Instant::now() < end {
            for child in
                server.children().into_iter().filter(|child| !killed.contains(child)).collect::<Vec<_>>()
            {
                signal(&child, Signal::KILL);
                killed.push(child);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        is_over.set(true);
        killed.len()
    };
    let (_, starts) = tokio::join!(join_all((0..4).map(|_| load())), kills);
    // At once twice, then after 250, 500 and 1000 ms.
    assert!((3..=6).contains(&starts), "{starts} processes in two seconds");

    let recovered = async {
        while server.get("mortal.localhost", "/").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the Worker's recovery", SOON, recovered).await;
    server.stop().await;
}
