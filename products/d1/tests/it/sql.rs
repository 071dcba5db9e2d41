//! Requests as transactions: what a batch does whole or not at all, who sees what, and what order writers come in.

use std::sync::Arc;

use axum::http::Request;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Room;

async fn batch(room: &Room, statements: &[&str]) -> Value {
    let queries: Vec<_> = statements.iter().map(|sql| json!({ "sql": sql })).collect();
    let request = Request::post("http://d1/query").body(json!(queries).to_string().into()).unwrap();
    room.binding(&room.database, request).await.json()
}

#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a INTEGER PRIMARY KEY)").await.unwrap();
    let failed =
        batch(&room, &["INSERT INTO t VALUES (1)", "CREATE TABLE u (b)", "INSERT INTO t VALUES (1)"]).await;
    assert_eq!(failed["success"], false, "{failed}");
    assert_eq!(room.rows("SELECT name FROM sqlite_master").await, Ok(json!([["t"]])));
    assert_eq!(room.rows("SELECT count(*) FROM t").await, Ok(json!([[0]])));
    // The same through the API, where migrations come.
    let sql = "INSERT INTO t VALUES (1); CREATE TABLE u (b); INSERT INTO nothing VALUES (1)";
    assert_eq!(room.rest_in("POST", "/query", &json!({ "sql": sql })).await.refusal(), (400, 7500));
    assert_eq!(room.rows("SELECT name FROM sqlite_master").await, Ok(json!([["t"]])));
    let done = batch(
        &room,
        &["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "SELECT count(*) AS n FROM t"],
    )
    .await;
    assert_eq!(done[2]["results"], json!([{"n": 2}]));
}

#[tokio::test]
async fn a_reader_of_several_statements_sees_one_state() {
    let room = Arc::new(Room::new().await);
    room.rows("CREATE TABLE t (a)").await.unwrap();
    let writing = Arc::clone(&room);
    let mut writer = JoinSet::new();
    writer.spawn(async move {
        for _ in 0..100 {
            writing.rows("INSERT INTO t VALUES (1)").await.unwrap();
        }
    });
    while writer.try_join_next().is_none() {
        let counts = batch(&room, &["SELECT count(*) AS n FROM t", "SELECT count(*) AS n FROM t"]).await;
        assert_eq!(counts[0]["results"], counts[1]["results"]);
    }
}

#[tokio::test]
async fn concurrent_writers_lose_no_update() {
    let room = Room::new().await;
    room.rows("CREATE TABLE counter (n)").await.unwrap();
    room.rows("INSERT INTO counter VALUES (0)").await.unwrap();
    let room = &room;
    let seen = join_all((0..200).map(|_| async move {
        let returned = room.rows("UPDATE counter SET n = n + 1 RETURNING n").await.unwrap();
        // Whoever was answered finds it done.
        let read = room.rows("SELECT n FROM counter").await.unwrap();
        assert!(returned[0][0].as_u64() <= read[0][0].as_u64());
        returned[0][0].as_u64().unwrap()
    }));
    let mut seen = seen.await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_is_not_stopped_for_the_caller_before_it() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    // SQLite looks after every thousand steps, which only one request in many meets.
    for number in 0..3_000 {
        let inserted = room.rows(&format!("INSERT INTO t VALUES ({number})")).await;
        assert_eq!(inserted, Ok(json!([])), "{number}");
        assert!(room.rows("SELECT max(a) FROM t").await.is_ok(), "{number}");
    }
}

#[tokio::test]
async fn the_api_answers_each_statement_and_the_binding_the_last() {
    let room = Room::new().await;
    let sql = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); SELECT a FROM t -- all\n;";
    let all = room.rest_in("POST", "/query", &json!({ "sql": sql })).await.result();
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!((&all[1]["meta"]["changes"], &all[2]["results"]), (&json!(2), &json!([{"a": 1}, {"a": 2}])));
    let raw = room
        .rest_in("POST", "/raw", &json!({"sql": "SELECT a, ? AS b FROM t", "params": ["x"]}))
        .await
        .result();
    assert_eq!(raw[0]["results"], json!({"columns": ["a", "b"], "rows": [[1, "x"], [2, "x"]]}));
    assert_eq!(room.rows("SELECT 1 AS a; SELECT 2 AS b").await, Ok(json!([[2]])));
}
