//! D1 under writers whose server is killed at random points: every acknowledged transaction is there afterwards, and none is
//! there by half.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, header};
use http_body_util::Full;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Script, Server};

use crate::support::{Client, Random, to};

/// Restarts on one folder.
const ROUNDS: usize = 3;
/// Half of them write through the binding, half through the v4 API.
const WRITERS: u64 = 32;
const SEED: u64 = 0x5eed_00d1;

const STORE: &str = r#"
export default {
    async fetch(request, { DB }) {
        const number = Number(new URL(request.url).pathname.slice(1));
        await DB.batch([
            DB.prepare("INSERT INTO debit VALUES (?, randomblob(100))").bind(number),
            DB.prepare("UPDATE total SET count = count + 1"),
            DB.prepare("INSERT INTO credit VALUES (?)").bind(number),
        ]);
        return new Response("kept");
    },
};"#;

const SCHEMA: &str = "CREATE TABLE debit (number INTEGER PRIMARY KEY, filler BLOB); \
     CREATE TABLE credit (number INTEGER PRIMARY KEY); CREATE TABLE total (count INTEGER); INSERT INTO total VALUES (0);";

/// What one writer sent, and what of that was acknowledged.
#[derive(Default)]
struct Written {
    sent: BTreeSet<u64>,
    kept: BTreeSet<u64>,
}

#[tokio::test]
async fn writers_lose_no_acknowledged_transaction_when_the_server_is_killed_and_none_is_half_there() {
    let mut random = Random::seeded(SEED);
    let mut server = Server::start().await;
    let made =
        server.api(Method::POST, "/accounts/{account}/d1/database", Some(&json!({"name": "ledger"}))).await;
    let id = made.json()["result"]["uuid"].as_str().expect("a database has an id").to_owned();
    let binding = json!({ "name": "DB", "type": "d1", "id": id });
    server.deploy(&Script::module("ledger", STORE).binding(binding)).await;
    query(&server, &id, SCHEMA).await;

    let (mut sent, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let first = (round as u64 + 1) * 1_000_000;
        let writers = (0..WRITERS).map(|writer| write(&server, &id, writer, first + writer * 10_000));
        let kill_after = std::time::Duration::from_millis(400 + random.below(900));
        let kill = async {
            tokio::time::sleep(kill_after).await;
            server.signal(Signal::KILL);
        };
        let (written, ()) = tokio::join!(join_all(writers), kill);
        for one in written {
            sent.extend(one.sent);
            kept.extend(one.kept);
        }
        let folder = server.kill().await;
        server = Server::builder().folder(&folder).start().await;
        let (debits, credits) = (numbers(&server, &id, "debit").await, numbers(&server, &id, "credit").await);
        assert_eq!(debits, credits, "round {round}: a transaction is half there");
        assert!(
            kept.is_subset(&debits),
            "round {round}: lost {:?}",
            kept.difference(&debits).collect::<Vec<_>>()
        );
        assert!(
            debits.is_subset(&sent),
            "round {round}: never sent {:?}",
            debits.difference(&sent).collect::<Vec<_>>()
        );
        let total = query(&server, &id, "SELECT count FROM total").await;
        assert_eq!(total[0]["results"][0]["count"], debits.len(), "round {round}");
        let check = query(&server, &id, "PRAGMA quick_check").await;
        assert_eq!(check[0]["results"][0]["quick_check"], "ok", "round {round}");
    }
    assert!(kept.len() > 100, "only {} transactions were acknowledged", kept.len());
    server.stop().await;
}

/// Writes one transaction after the other until the connection breaks off.
async fn write(server: &Server, id: &str, writer: u64, first: u64) -> Written {
    let is_binding = writer.is_multiple_of(2);
    let address = if is_binding { server.http() } else { server.api_address() };
    let mut client = Client::open(address).await;
    let mut written = Written::default();
    for number in first.. {
        let request = if is_binding {
            to("ledger.localhost", "POST", &format!("/{number}"), Bytes::new())
        } else {
            let sql = format!(
                "INSERT INTO debit VALUES ({number}, randomblob(100)); UPDATE total SET count = count + 1; INSERT INTO credit VALUES ({number})"
            );
            let path = format!("/accounts/{{account}}/d1/database/{id}/query");
            let request = server.api_request(Method::POST, &path);
            let request = request.header(header::CONTENT_TYPE, "application/json");
            request.body(Full::new(json!({"sql": sql}).to_string().into())).expect("a valid path")
        };
        written.sent.insert(number);
        if !client.send(request).await.is_some_and(|answer| answer.status.is_success()) {
            break;
        }
        written.kept.insert(number);
    }
    written
}

async fn numbers(server: &Server, id: &str, table: &str) -> BTreeSet<u64> {
    let result = query(server, id, &format!("SELECT number FROM {table}")).await;
    let rows = result[0]["results"].as_array().expect("rows").clone();
    rows.iter().filter_map(|row| row["number"].as_u64()).collect()
}

async fn query(server: &Server, id: &str, sql: &str) -> Value {
    let path = format!("/accounts/{{account}}/d1/database/{id}/query");
    let answer = server.api(Method::POST, &path, Some(&json!({ "sql": sql }))).await.expect(200);
    answer.json()["result"].clone()
}
