//! What a hostile Worker could send: statements that reach out of the database or run away, and anything at all on the
//! wire. Each is refused or stopped with a text that says so, and no neighbour notices.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use tasks::Clock;
use tokio::task::JoinSet;

use crate::Room;

/// Statements that would reach a file, another database or another request's settings.
const REACHING_OUT: &[&str] = &[
    "ATTACH DATABASE '/tmp/x.sqlite' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/x.sqlite'",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple')",
    "CREATE VIRTUAL TABLE x USING csv(filename = '/etc/passwd')",
    "CREATE VIRTUAL TABLE x USING fts3(a)",
    "CREATE VIRTUAL TABLE x USING fts4(a)",
    "CREATE TEMP TABLE x (a)",
    "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
    "PRAGMA journal_mode = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA synchronous = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA wal_autocheckpoint = 1",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA max_page_count = 1",
    "PRAGMA page_size = 512",
    "PRAGMA user_version = 7",
    "PRAGMA mmap_size = 1000000",
    "PRAGMA cache_size = -1000000",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA database_list",
    "PRAGMA trusted_schema = ON",
    "UPDATE sqlite_master SET sql = 'x'",
    "DELETE FROM sqlite_schema",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, 'x')",
    "CREATE TABLE _cf_x (a)",
    "ALTER TABLE t RENAME TO sqlite_x",
    "BEGIN",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE x",
    "/*ours*/COMMIT",
    " /*ours*/ /*ours*/ROLLBACK",
    "/*ours*/BEGIN IMMEDIATE",
    "SELECT * FROM pragma_database_list",
    "INSERT INTO f_data VALUES (1, x'00')",
];

#[tokio::test]
async fn statements_that_reach_out_of_the_database_are_refused() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    room.rows("CREATE VIRTUAL TABLE f USING fts5(a)").await.unwrap();
    room.rows("INSERT INTO t VALUES (1)").await.unwrap();
    for sql in REACHING_OUT {
        let error = room.rows(sql).await.expect_err(sql);
        assert!(!error.is_empty() && !error.contains("Internal error"), "{sql}: {error}");
        // Nor through the API, alone or behind something harmless.
        for sql in [(*sql).to_owned(), format!("INSERT INTO t VALUES (2); {sql}")] {
            let answer = room.rest_in("POST", "/query", &json!({ "sql": sql })).await;
            assert_eq!(answer.refusal(), (400, 7500), "{sql}: {}", answer.text());
        }
        assert_eq!(room.rows("SELECT count(*) FROM t").await, Ok(json!([[1]])), "{sql}");
    }
    // What a request switched is as before for the next one, on either connection.
    for _ in 0..2 {
        let switched = json!({"sql": "PRAGMA case_sensitive_like = ON; SELECT 'a' LIKE 'A'"});
        assert_eq!(room.rows_of(&room.database, &switched).await, Ok(json!([[0]])));
        assert_eq!(room.rows("SELECT 'a' LIKE 'A'").await, Ok(json!([[1]])));
        room.rows("PRAGMA foreign_keys = OFF").await.unwrap();
        assert_eq!(room.rows("PRAGMA foreign_keys").await, Ok(json!([[1]])));
    }
}

#[tokio::test]
async fn too_much_of_anything_is_refused() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    let much = [
        "SELECT zeroblob(2000001)".to_owned(),
        "INSERT INTO t VALUES (zeroblob(2000001))".to_owned(),
        "SELECT printf('%2000001d', 1)".to_owned(),
        "SELECT replace(hex(zeroblob(900000)), '00', 'xxxxxxxx')".to_owned(),
        format!("SELECT {}1", "1+".repeat(2000)),
        format!("SELECT '{}'", "x".repeat(100_000)),
        format!("SELECT {}", vec!["1"; 2001].join(",")),
        format!("SELECT max({})", vec!["1"; 200].join(",")),
        "SELECT 'x' LIKE printf('%60d', 1)".to_owned(),
        vec!["SELECT 1"; 20].join(" UNION ALL "),
        // 60 MB of rows.
        "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) SELECT hex(zeroblob(500000)) FROM n".to_owned(),
    ];
    for sql in much {
        let shown = &sql[..sql.len().min(60)];
        let error = room.rows(&sql).await.expect_err(shown);
        assert!(!error.contains("Internal error"), "{shown}: {error}");
    }
}

#[tokio::test]
async fn a_statement_that_runs_away_is_stopped_and_delays_no_neighbour() {
    // Statements are stopped by a clock that cannot be set: this one is the system's.
    let room = Arc::new(Room::with_clock(Clock::system()).await);
    let neighbour = room.create("neighbour").await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    let forever = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    let mut running = JoinSet::new();
    for sql in
        [format!("{forever} SELECT count(*) FROM n"), format!("INSERT INTO t {forever} SELECT 1 FROM n")]
    {
        let room = Arc::clone(&room);
        running.spawn(async move { room.rows(&sql).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 0..50 {
        let sql = json!({"sql": "SELECT ?", "params": [number]});
        let asked = tokio::time::timeout(Duration::from_secs(5), room.rows_of(&neighbour, &sql));
        assert_eq!(asked.await.unwrap(), Ok(json!([[number]])));
    }
    assert!(running.try_join_next().is_none(), "both still run");
    // A caller that goes away takes its statement along; the database is free again.
    running.shutdown().await;
    let free = tokio::time::timeout(Duration::from_secs(5), room.rows("INSERT INTO t VALUES (1)"));
    assert_eq!(free.await.unwrap(), Ok(json!([])));
}

#[test]
fn anything_on_the_wire_is_answered_and_harms_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let room = runtime.block_on(Room::new());
    runtime.block_on(room.rows("CREATE TABLE bystander (a)")).unwrap();
    runtime.block_on(room.rows("INSERT INTO bystander VALUES ('untouched')")).unwrap();
    let path = prop_oneof![Just("/query"), Just("/execute"), Just("/dump"), Just("/"), Just("/query/x")];
    let statement = "(SELECT|select|WITH|EXPLAIN|PRAGMA|CREATE|--|/\\*|;|VALUES|')[ a-z0-9_(),.*'\";=\\-/?:@$\\[\\]{}]{0,60}";
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        "[\\[{][\"a-z:,\\[\\]{}0-9 ]{0,60}".prop_map(String::into_bytes),
        (statement, prop::collection::vec(parameter(), 0..4))
            .prop_map(|(sql, params)| json!({"sql": sql, "params": params}).to_string().into_bytes()),
        prop::collection::vec(statement, 0..4).prop_map(|all| {
            let all: Vec<_> = all.iter().map(|sql| json!({ "sql": sql })).collect();
            json!(all).to_string().into_bytes()
        }),
    ];
    let strategy = (path, prop::option::of("[a-z=A-Z_&]{0,20}"), body);
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(path, query, body)| {
            let uri = format!("http://d1{path}?{}", query.unwrap_or_default());
            let request = Request::post(uri).body(Body::from(body)).unwrap();
            let answer = runtime.block_on(room.binding(&room.database, request));
            // workerd parses whatever comes: it must be JSON, and an error in words.
            if answer.headers.get("content-type").is_some_and(|kind| kind == "application/json") {
                let json = answer.json();
                let first = json.get(0).unwrap_or(&json);
                let is_told =
                    first["success"] == true || first["error"].as_str().is_some_and(|text| !text.is_empty());
                prop_assert!(is_told, "{answer:?}");
            }
            let bystander = runtime.block_on(room.rows("SELECT a FROM bystander"));
            prop_assert_eq!(bystander, Ok(json!([["untouched"]])));
            Ok(())
        })
        .unwrap();
}

fn parameter() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "\\PC{0,10}".prop_map(|value| json!(value)),
        prop::collection::vec(any::<i16>(), 0..5).prop_map(|value| json!(value)),
        Just(json!({"a": 1})),
    ]
}
