//! KV under sixty-four writers whose server is killed at random points: every acknowledged put and delete is there
//! afterwards, and every value is whole, in its row or in a file of its own.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, header};
use http_body_util::Full;
use serde_json::json;
use testkit::{Script, Server};

use crate::{
    ledger::{Ledger, text, until_killed},
    support::{Client, Random, to},
};

/// Restarts on one folder.
const ROUNDS: usize = 3;
/// Half of them write through the binding, half through the v4 API.
const WRITERS: usize = 64;
/// Keys of each writer.
const KEYS: u64 = 3;
/// One value in so many is larger than a row takes and becomes a file.
const BLOB_EVERY: u64 = 24;
const BLOB_BYTES: usize = 1024 * 1024 + 1;
const SEED: u64 = 0x5eed_0640;

const STORE: &str = r#"
export default {
    async fetch(request, env) {
        const key = new URL(request.url).pathname.slice(1);
        if (request.method === "DELETE") await env.KV.delete(key);
        else await env.KV.put(key, request.body);
        return new Response("kept");
    },
};"#;

#[tokio::test]
async fn sixty_four_writers_lose_nothing_acknowledged_when_the_server_is_killed() {
    let mut random = Random::seeded(SEED);
    let mut server = Server::start().await;
    let title = json!({ "title": "ledger" });
    let created = server.api(Method::POST, "/accounts/{account}/storage/kv/namespaces", Some(&title)).await;
    let namespace = created.json()["result"]["id"].as_str().expect("a namespace has an id").to_owned();
    let binding = json!({ "name": "KV", "type": "kv_namespace", "namespace_id": namespace });
    server.deploy(&Script::module("ledger", STORE).binding(binding)).await;

    let mut ledgers = vec![Ledger::new(); WRITERS];
    for round in 0..ROUNDS {
        let seeds: Vec<_> = (0..WRITERS).map(|_| random.below(u64::MAX)).collect();
        let writers = ledgers.iter().zip(seeds).enumerate().map(|(writer, (ledger, seed))| {
            let values = format!("/accounts/{{account}}/storage/kv/namespaces/{namespace}/values");
            write(&server, values, writer, ledger.clone(), Random::seeded(seed | 1))
        });
        ledgers = until_killed(&server, &mut random, writers).await;

        let folder = server.kill().await;
        server = Server::builder().folder(&folder).start().await;
        let blobs = check(&server, &namespace, &mut ledgers, round).await;
        let files = std::fs::read_dir(folder.path().join("kv/blobs")).expect("list the blobs").count();
        assert_eq!(files, blobs, "the start removes the files that no key refers to");
    }
    server.stop().await;
}

/// Puts and deletes until the connection breaks off; returns what is known of the writer's keys, and how many writes
/// were answered.
async fn write(
    server: &Server,
    values: String,
    writer: usize,
    mut ledger: Ledger,
    mut random: Random,
) -> (Ledger, u64) {
    let is_binding = writer.is_multiple_of(2);
    let address = if is_binding { server.http() } else { server.api_address() };
    let mut client = Client::open(address).await;
    for answered in 0.. {
        let key = format!("w{writer}-{}", random.below(KEYS));
        let is_delete = random.below(6) == 0;
        let version = (!is_delete).then(|| random.below(u64::MAX));
        let body = version.map(|version| value(&key, version)).unwrap_or_default();
        let method = if is_delete { "DELETE" } else { "PUT" };
        let request = if is_binding {
            to("ledger.localhost", method, &format!("/{key}"), body)
        } else {
            let request = server.api_request(method.parse().expect("a method"), &format!("{values}/{key}"));
            let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
            request.body(Full::new(body)).expect("a valid path")
        };
        let known = ledger.entry(key).or_default();
        known.sent(version);
        if !client.send(request).await.is_some_and(|answer| answer.status.is_success()) {
            return (ledger, answered);
        }
        known.kept(version);
    }
    unreachable!("a connection breaks off at the latest with its server")
}

/// Text of a length that follows from its version.
fn value(key: &str, version: u64) -> Bytes {
    let length = if version.is_multiple_of(BLOB_EVERY) {
        BLOB_BYTES
    } else {
        usize::try_from(version % 5_000).expect("a small number")
    };
    text(key, version, length)
}

/// Asserts that each key holds what it may hold and makes that the new knowledge. Returns how many values are files.
async fn check(server: &Server, namespace: &str, ledgers: &mut [Ledger], round: usize) -> usize {
    let path = format!("/accounts/{{account}}/storage/kv/namespaces/{namespace}");
    let known: Vec<_> = ledgers.iter_mut().flatten().collect();
    let reads = known.into_iter().map(|(key, known)| {
        let path = format!("{path}/values/{key}");
        async move { (server.api(Method::GET, &path, None).await, key, known) }
    });
    let mut blobs = 0;
    let mut names = Vec::new();
    for (answer, key, known) in stream::iter(reads).buffer_unordered(16).collect::<Vec<_>>().await {
        let held = known.settle(&answer, round, key, value);
        blobs += usize::from(answer.body.len() == BLOB_BYTES);
        names.extend(held.map(|_| key.clone()));
    }
    names.sort_unstable();
    let listed = server.api(Method::GET, &format!("{path}/keys"), None).await.expect(200).json();
    let listed = listed["result"].as_array().into_iter().flatten();
    let listed: Vec<_> = listed.filter_map(|key| key["name"].as_str()).collect();
    assert_eq!(listed, names, "the list shows the keys that can be read");
    blobs
}
