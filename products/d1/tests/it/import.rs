//! `wrangler d1 execute --file`: announce, upload, ingest, poll.

use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::{Answer, Room};

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// Announces a file; returns its name and where it is to be uploaded.
async fn announce(room: &Room, sql: &str) -> (String, String) {
    let init = room.ask("/import", json!({"action": "init", "etag": md5(sql)})).await.result();
    let text = |name: &str| init[name].as_str().unwrap().to_owned();
    (text("filename"), text("upload_url"))
}

async fn ingest(room: &Room, sql: &str, name: &str) -> Answer {
    room.ask("/import", json!({"action": "ingest", "etag": md5(sql), "filename": name})).await
}

/// Polls to the end, as wrangler does.
async fn until_done(room: &Room, mut told: Value) -> Value {
    while told["status"] == "active" {
        let poll = json!({"action": "poll", "current_bookmark": told["at_bookmark"]});
        told = room.ask("/import", poll).await.result();
    }
    assert_eq!((&told["success"], &told["type"]), (&json!(true), &json!("import")), "{told}");
    told
}

async fn run(room: &Room, sql: &str) -> Value {
    let (name, url) = announce(room, sql).await;
    let uploaded = room.signed("PUT", &url, sql.to_owned()).await;
    assert_eq!(uploaded.headers.get("etag").unwrap(), &format!("\"{}\"", md5(sql)), "{}", uploaded.text());
    let told = ingest(room, sql, &name).await.result();
    until_done(room, told).await
}

#[tokio::test]
async fn a_file_is_imported_as_one_transaction_and_says_what_it_did() {
    let room = Room::new().await;
    let sql = "PRAGMA defer_foreign_keys=TRUE;
        CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent (id));
        CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE INDEX of_child ON child (p);
        INSERT INTO child VALUES (1, 7); INSERT INTO child VALUES (2, 7);
        INSERT INTO parent VALUES (7); SELECT * FROM child; -- the end";
    let told = run(&room, sql).await;
    assert_eq!(told["status"], "complete", "{told}");
    let result = &told["result"];
    assert_eq!(result["num_queries"], 8);
    let meta = &result["meta"];
    // Three schemas, and each child's row with its entry in the index.
    assert_eq!((&meta["changes"], &meta["rows_written"]), (&json!(3), &json!(8)), "{meta}");
    assert!(2 <= meta["rows_read"].as_u64().unwrap() && meta["duration"].is_f64(), "{meta}");
    assert!(4 * 4096 <= meta["size_after"].as_u64().unwrap());
    assert!(result["final_bookmark"].as_str().unwrap() > told["at_bookmark"].as_str().unwrap(), "{told}");
    assert_eq!(room.run("SELECT * FROM child").await, json!([[1, 7], [2, 7]]));
    assert_eq!(room.transfers(), 0, "the file is gone");
    let other = json!({"action": "poll", "current_bookmark": "00000000-00000000-00000000-00"});
    let other = room.ask("/import", other).await.result();
    assert_eq!(
        (&other["success"], &other["error"]),
        (&json!(false), &json!("Not currently importing anything."))
    );
}

#[tokio::test]
async fn a_failed_import_leaves_nothing_and_names_its_statement() {
    let room = Room::new().await;
    let cases = [
        (
            "CREATE TABLE t (a);\n\nINSERT INTO t\nVALUES (1, 2);",
            "statement 2, which begins in line 3: table t has 1",
        ),
        (
            "CREATE TABLE t (a); INSERT INTO t VALUES (1); \nBEGIN;",
            "statement 3, which begins in line 2: remove BEGIN, COMMIT",
        ),
        ("CREATE TABLE t (a); ATTACH 'x' AS y;", "statement 2, which begins in line 1: "),
        (
            "CREATE TABLE t (a); INSERT INTO t VALUES (?);",
            "statement 2, which begins in line 1: Wrong number of param",
        ),
        (
            "PRAGMA defer_foreign_keys=on; CREATE TABLE t (a PRIMARY KEY, b REFERENCES t (a)); INSERT INTO t VALUES (1, 2);",
            "FOREIGN KEY constraint failed",
        ),
        (" -- nothing\n;", "No SQL statements detected."),
    ];
    for (sql, expected) in cases {
        let told = run(&room, sql).await;
        assert_eq!(told["status"], "error", "{sql}: {told}");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(expected), "{sql}: {error}");
        assert_eq!(told["errors"], json!([error]));
        assert_eq!(room.run("SELECT count(*) FROM sqlite_schema").await, json!([[0]]), "{sql}");
    }
    assert_eq!(room.transfers(), 0);
}

#[tokio::test]
async fn an_upload_is_checked_and_its_url_serves_once() {
    let room = Room::new().await;
    let sql = "CREATE TABLE t (a)";
    for etag in ["", "xyz", &"z".repeat(32)] {
        let refused = room.ask("/import", json!({"action": "init", "etag": etag})).await;
        assert_eq!(refused.refusal(), (400, 7400), "{etag}");
    }
    let (name, url) = announce(&room, sql).await;
    assert_eq!(name, format!("{}.{}.sql", room.database, md5(sql)));
    assert_eq!(ingest(&room, sql, &name).await.refusal(), (404, 7400), "it is not there yet");
    let wrong = room.signed("PUT", &url, "CREATE TABLE u (a)").await;
    assert!(wrong.message().contains(&md5("CREATE TABLE u (a)")), "{}", wrong.message());
    assert_eq!(room.signed("PUT", &url, sql).await.refusal(), (404, 7400), "used up");

    let (_, url) = announce(&room, sql).await;
    let broken = stream::iter([Ok("CREATE"), Err(std::io::Error::other("gone"))]);
    assert_eq!(room.signed("PUT", &url, Body::from_stream(broken)).await.refusal(), (400, 7400));
    assert_eq!(room.transfers(), 0);

    let (_, url) = announce(&room, sql).await;
    room.house.clock.advance(Duration::from_secs(3600));
    assert_eq!(room.signed("PUT", &url, sql).await.refusal(), (404, 7400), "expired");
    let guessed = format!("http://127.0.0.1/signed/{}", "0".repeat(32));
    assert_eq!(room.signed("PUT", &guessed, sql).await.refusal(), (404, 7400));
    assert_eq!(room.signed("GET", &guessed, "").await.refusal(), (404, 7400));

    // A file that is here already is not uploaded again, and the next announcement asks for it anew.
    let (_, url) = announce(&room, sql).await;
    assert_eq!(room.signed("PUT", &url, sql).await.status, 200);
    let told = room.ask("/import", json!({"action": "init", "etag": md5(sql)})).await.result();
    assert_eq!(until_done(&room, told).await["status"], "complete");
    announce(&room, sql).await;
}

#[tokio::test]
async fn what_was_uploaded_goes_with_its_database_and_with_a_restart() {
    let room = Room::new().await;
    for sql in ["SELECT 1", "SELECT 2"] {
        let (_, url) = announce(&room, sql).await;
        assert_eq!(room.signed("PUT", &url, sql).await.status, 200);
    }
    assert_eq!(room.transfers(), 2);
    let room = room.restart().await;
    assert_eq!(room.transfers(), 0);
    let (_, url) = announce(&room, "SELECT 1").await;
    assert_eq!(room.signed("PUT", &url, "SELECT 1").await.status, 200);
    room.call("DELETE", "/test", &Value::Null).await.result();
    assert_eq!(room.transfers(), 0);
}

#[tokio::test]
async fn others_write_after_a_long_import_and_read_during_it() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a)").await;
    let rows: String = (0..20_000).map(|row| format!("INSERT INTO t VALUES ({row});\n")).collect();
    let (name, url) = announce(&room, &rows).await;
    assert_eq!(room.signed("PUT", &url, rows.clone()).await.status, 200);
    let importing = async { until_done(&room, ingest(&room, &rows, &name).await.result()).await };
    let writing = async {
        tokio::task::yield_now().await;
        let seen = room.run("SELECT count(*) FROM t").await[0][0].as_u64().unwrap();
        assert!(seen == 0 || seen == 20_000, "{seen} rows of an import");
        room.run("INSERT INTO t VALUES (-1)").await
    };
    let (told, _) = tokio::join!(importing, writing);
    assert_eq!(told["result"]["num_queries"], 20_000, "{told}");
    assert_eq!(room.run("SELECT count(*), min(a) FROM t").await, json!([[20_001, -1]]));
}
