//! `wrangler d1 export`: ask, poll, fetch.

use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::Room;

async fn start(room: &Room, options: Value) -> Value {
    let asked = json!({"output_format": "polling", "dump_options": options});
    let mut told = room.ask("/export", asked).await.result();
    while told["status"] == "active" {
        let poll = json!({"output_format": "polling", "current_bookmark": told["at_bookmark"]});
        told = room.ask("/export", poll).await.result();
    }
    assert_eq!((&told["success"], &told["type"]), (&json!(true), &json!("export")), "{told}");
    told
}

async fn export(room: &Room, options: Value) -> String {
    let told = start(room, options).await;
    let url = told["result"]["signed_url"].as_str().unwrap_or_else(|| panic!("{told}"));
    let fetched = room.signed("GET", url, "").await;
    assert_eq!(fetched.status, 200);
    fetched.text().to_owned()
}

#[tokio::test]
async fn an_export_can_be_imported_and_exported_again() {
    let room = Room::new().await;
    // A child that was made before its parent: its rows refer to a table that comes later.
    let large = "x".repeat(900_000);
    room.run(
        "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, p TEXT REFERENCES parent (name), b BLOB, r REAL);
         CREATE TABLE parent (name TEXT PRIMARY KEY) WITHOUT ROWID; CREATE INDEX of_child ON child (p);
         CREATE TRIGGER guard BEFORE DELETE ON parent BEGIN SELECT raise(ABORT, 'no;'); END;
         CREATE VIEW seen AS SELECT p FROM child; INSERT INTO parent VALUES ('it''s'), (char(10) || '\\n');
         INSERT INTO child (p, b, r) VALUES ('it''s', X'00ff', 1.0), (NULL, zeroblob(3), 9e999)",
    )
    .await;
    let insert = json!({"sql": "INSERT INTO parent VALUES (?)", "params": [large]});
    room.ask("/query", insert).await.result();
    let text = export(&room, json!({})).await;

    let other = room.call("POST", "", &json!({"name": "other"})).await.result();
    let other = other["uuid"].as_str().unwrap();
    let etag = hex::encode(Md5::digest(&text));
    let init = room_import(&room, other, json!({"action": "init", "etag": etag})).await;
    let put = room.signed("PUT", init["upload_url"].as_str().unwrap(), text.clone()).await;
    assert_eq!(put.status, 200);
    let mut told =
        room_import(&room, other, json!({"action": "ingest", "etag": etag, "filename": init["filename"]}))
            .await;
    while told["status"] == "active" {
        told = room_import(&room, other, json!({"action": "poll", "current_bookmark": told["at_bookmark"]}))
            .await;
    }
    assert_eq!(told["status"], "complete", "{told}");
    let room = Room { database: other.into(), ..room };
    assert_eq!(export(&room, json!({})).await, text);
}

async fn room_import(room: &Room, id: &str, body: Value) -> Value {
    room.call("POST", &format!("/{id}/import"), &body).await.result()
}

#[tokio::test]
async fn options_choose_tables_schema_and_data() {
    let room = Room::new().await;
    room.run("CREATE TABLE a (x); CREATE TABLE b (y); INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)")
        .await;
    let cases = [
        (
            json!({"tables": []}),
            "CREATE TABLE a (x);\nCREATE TABLE b (y);\nINSERT INTO \"a\" (\"x\") VALUES(1);\nINSERT INTO \"b\" (\"y\") VALUES(2);\n",
        ),
        (
            json!({"tables": ["b"], "no_schema": false, "no_data": false}),
            "CREATE TABLE b (y);\nINSERT INTO \"b\" (\"y\") VALUES(2);\n",
        ),
        (json!({"no_data": true}), "CREATE TABLE a (x);\nCREATE TABLE b (y);\n"),
        (json!({"no_schema": true, "tables": ["a"]}), "INSERT INTO \"a\" (\"x\") VALUES(1);\n"),
    ];
    for (options, expected) in cases {
        let text = export(&room, options.clone()).await;
        assert_eq!(text, format!("PRAGMA defer_foreign_keys=TRUE;\n{expected}"), "{options}");
    }
    let missing = start(&room, json!({"tables": ["c"]})).await;
    assert_eq!(
        (&missing["status"], &missing["error"]),
        (&json!("error"), &json!("there is no table \"c\" to export"))
    );
    let refused = room.ask("/export", json!({"output_format": "file"})).await;
    assert_eq!(refused.refusal(), (400, 7400));
}

#[tokio::test]
async fn virtual_tables_are_refused_in_cloudflares_words_unless_the_shell_is_to_read_them() {
    let room = Room::new().await;
    room.run("CREATE TABLE plain (x); CREATE VIRTUAL TABLE found USING fts5 (text); INSERT INTO found VALUES ('sea')").await;
    let refused = start(&room, json!({})).await;
    assert_eq!(refused["error"], "D1 Export error: cannot export databases with Virtual Tables (fts5)");
    assert_eq!(room.run("SELECT count(*) FROM found").await, json!([[1]]), "the database is not stuck");
    export(&room, json!({"tables": ["plain"]})).await;
    let text = export(&room, json!({"compatibility": "sqlite3_cli_only"})).await;
    let shell = store::rusqlite::Connection::open_in_memory().unwrap();
    shell.set_db_config(store::rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    shell.execute_batch(&text).unwrap();
    let path = room.folder.path().join("again.sqlite");
    shell.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    let again = store::rusqlite::Connection::open(&path).unwrap();
    let found: String =
        again.query_row("SELECT text FROM found WHERE found MATCH 'sea'", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "sea");
}

#[tokio::test]
async fn an_export_shows_one_moment_and_can_be_fetched_for_an_hour() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a); INSERT INTO t VALUES (1)").await;
    let told = start(&room, json!({})).await;
    room.run("INSERT INTO t VALUES (2)").await;
    let url = told["result"]["signed_url"].as_str().unwrap();
    for _ in 0..2 {
        let fetched = room.signed("GET", url, "").await;
        assert!(fetched.text().contains("VALUES(1)") && !fetched.text().contains("VALUES(2)"));
        assert!(fetched.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    }
    room.house.clock.advance(Duration::from_secs(3600));
    assert_eq!(room.signed("GET", url, "").await.refusal(), (404, 7400));
    start(&room, json!({})).await;
    assert_eq!(room.transfers(), 1, "what nobody can fetch any more is removed");
    let stale = json!({"output_format": "polling", "current_bookmark": "x"});
    let stale = room.ask("/export", stale).await.result();
    assert_eq!(
        (&stale["success"], &stale["error"]),
        (&json!(false), &json!("Not currently exporting anything."))
    );
}
