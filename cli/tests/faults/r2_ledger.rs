//! R2 under writers whose server is killed at random points: every acknowledged put, delete and completed upload is there
//! afterwards, every object is whole, and no file stays that no object refers to.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;
use testkit::{Answer, Script, Server, wait_until};

use crate::support::{Client, Random, SOON, to};

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

/// What a key may hold: the body of the last acknowledged write, or of the one that was never answered. `None` is a
/// deleted object.
#[derive(Debug, Default, Clone, PartialEq)]
struct Known {
    acknowledged: Option<u64>,
    unanswered: Option<Option<u64>>,
}

type Ledger = BTreeMap<String, Known>;

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
        let kill_after = Duration::from_millis(400 + random.below(900));
        let seeds: Vec<_> = (0..WRITERS).map(|_| random.below(u64::MAX)).collect();
        let writers =
            ledgers.iter().zip(seeds).enumerate().map(|(writer, (ledger, seed))| {
                write(&server, writer, ledger.clone(), Random::seeded(seed | 1))
            });
        let kill = async {
            tokio::time::sleep(kill_after).await;
            server.signal(Signal::KILL);
        };
        let (written, ()) = tokio::join!(join_all(writers), kill);
        let answered: u64 = written.iter().map(|(_, answered)| answered).sum();
        assert!(0 < answered, "nothing was written in {kill_after:?}");
        ledgers = written.into_iter().map(|(ledger, _)| ledger).collect();

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
        known.unanswered = Some(version);
        let answer = client.send(to("ledger.localhost", method, &path, body)).await;
        if !answer.is_some_and(|answer| answer.status.is_success()) {
            return (ledger, answered);
        }
        *known = Known { acknowledged: version, unanswered: None };
    }
    unreachable!("a connection breaks off at the latest with its server")
}

/// Text that tells whose it is from its first byte to its last, of a length that follows from its version: in a row, in a
/// file of one block, in a file of several.
fn content(key: &str, version: u64) -> Bytes {
    let varied = usize::try_from(version % 5_000).expect("a small number");
    let length = match version % 24 {
        0 => 2 * 1024 * 1024 + varied,
        1..=8 => SMALL_BYTES_MAX + 1 + varied,
        _ => varied,
    };
    let line = format!("{key}:{version};");
    line.bytes().cycle().take(length).collect()
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
        let allowed: Vec<_> = std::iter::once(known.acknowledged).chain(known.unanswered).collect();
        let held = allowed.iter().find(|version| holds(&answer, key, **version));
        let Some(held) = held else {
            let start = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]).into_owned();
            panic!("round {round}: {key} answers {} `{start}`…, but {known:?}", answer.status);
        };
        files += usize::from(held.is_some() && SMALL_BYTES_MAX < answer.body.len());
        *known = Known { acknowledged: *held, unanswered: None };
    }
    files
}

fn holds(answer: &Answer, key: &str, version: Option<u64>) -> bool {
    match version {
        None => answer.status == StatusCode::NOT_FOUND,
        Some(version) => answer.status == StatusCode::OK && answer.body == content(key, version),
    }
}
