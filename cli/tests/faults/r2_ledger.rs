//! R2 under writers whose server is killed at random points: every acknowledged put, delete and completed upload is there
//! afterwards, every object is whole, and no file stays that no object refers to.

use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::json;
use testkit::{Script, Server, wait_until};

use crate::{
    ledger::{Ledger, text, until_killed},
    support::{Client, Random, SOON, to},
};

/// Restarts on one folder.
const ROUNDS: usize = 3;
/// A quarter of them through multipart uploads.
const WRITERS: usize = 32;
/// Keys of each writer.
const KEYS: u64 = 3;
/// Bodies up to this lie in their rows.
const SMALL_BYTES_MAX: usize = 16 * 1024;
const SEED: u64 = 0x5eed_0832;

const STORE: &str = r#"
export default {
    async fetch(request, { BUCKET }) {
        const { pathname, search } = new URL(request.url);
        const key = pathname.slice(1);
        if (request.method === "DELETE") await BUCKET.delete(key);
        else if (search !== "?multipart") await BUCKET.put(key, request.body);
        else {
            const upload = await BUCKET.createMultipartUpload(key);
            await upload.complete([await upload.uploadPart(1, await request.arrayBuffer())]);
        }
        return new Response("kept");
    },
};"#;

#[tokio::test]
async fn r2_loses_nothing_acknowledged_when_the_server_is_killed() {
    let mut random = Random::seeded(SEED);
    let mut server = Server::start().await;
    let bucket = json!({ "name": "ledger" });
    let _ = server.api(Method::POST, "/accounts/{account}/r2/buckets", Some(&bucket)).await.expect(200);
    let binding = json!({ "name": "BUCKET", "type": "r2_bucket", "bucket_name": "ledger" });
    server.deploy(&Script::module("ledger", STORE).binding(binding)).await;

    let mut ledgers = vec![Ledger::new(); WRITERS];
    for round in 0..ROUNDS {
        let seeds: Vec<_> = (0..WRITERS).map(|_| random.below(u64::MAX)).collect();
        let writers =
            ledgers.iter().zip(seeds).enumerate().map(|(writer, (ledger, seed))| {
                write(&server, writer, ledger.clone(), Random::seeded(seed | 1))
            });
        ledgers = until_killed(&server, &mut random, writers).await;

        let folder = server.kill().await;
        server = Server::builder().folder(&folder).start().await;
        let files = check(&server, &mut ledgers, round).await;
        // An upload that was broken off keeps its part: its caller may still complete it.
        let allowed = files..=files + (round + 1) * WRITERS / 4;
        let store = folder.path().join("r2");
        wait_until("only files that objects or uploads refer to", SOON, || allowed.contains(&count(&store)))
            .await;
    }
    server.stop().await;
}

/// Bodies of all shards.
fn count(folder: &Path) -> usize {
    let entries =
        std::fs::read_dir(folder).expect("list R2's files").map(|entry| entry.expect("an entry").path());
    let count_of = |path: &std::path::PathBuf| match path.extension() {
        None if path.is_dir() => count(path),
        None => 1,
        Some(_) => 0,
    };
    entries.collect::<Vec<_>>().iter().map(count_of).sum()
}

/// Puts and deletes until the connection breaks off; returns what is known of the writer's keys, and how many writes
/// were answered.
async fn write(server: &Server, writer: usize, mut ledger: Ledger, mut random: Random) -> (Ledger, u64) {
    let query = if writer.is_multiple_of(4) { "?multipart" } else { "" };
    let mut client = Client::open(server.http()).await;
    for answered in 0.. {
        let key = format!("w{writer}-{}", random.below(KEYS));
        let is_delete = random.below(6) == 0;
        let version = (!is_delete).then(|| random.below(u64::MAX));
        let body = version.map(|version| content(&key, version)).unwrap_or_default();
        let (method, path) =
            if is_delete { ("DELETE", format!("/{key}")) } else { ("PUT", format!("/{key}{query}")) };
        let known = ledger.entry(key).or_default();
        known.sent(version);
        let answer = client.send(to("ledger.localhost", method, &path, body)).await;
        if !answer.is_some_and(|answer| answer.status.is_success()) {
            return (ledger, answered);
        }
        known.kept(version);
    }
    unreachable!("a connection breaks off at the latest with its server")
}

/// Text of a length that follows from its version: in a row, in a file of one block, in a file of several.
fn content(key: &str, version: u64) -> Bytes {
    let varied = usize::try_from(version % 5_000).expect("a small number");
    let length = match version % 24 {
        0 => 2 * 1024 * 1024 + varied,
        1..=8 => SMALL_BYTES_MAX + 1 + varied,
        _ => varied,
    };
    text(key, version, length)
}

/// Asserts that each key holds what it may hold and makes that the new knowledge. Returns how many bodies are files.
async fn check(server: &Server, ledgers: &mut [Ledger], round: usize) -> usize {
    let known: Vec<_> = ledgers.iter_mut().flatten().collect();
    let reads = known.into_iter().map(|(key, known)| {
        let path = format!("/accounts/{{account}}/r2/buckets/ledger/objects/{key}");
        async move { (server.api(Method::GET, &path, None).await, key, known) }
    });
    let mut files = 0;
    for (answer, key, known) in stream::iter(reads).buffer_unordered(16).collect::<Vec<_>>().await {
        let held = known.settle(&answer, round, key, content);
        files += usize::from(held.is_some() && SMALL_BYTES_MAX < answer.body.len());
    }
    files
}
