//! Databases come and go: opened by their first request, closed when idle, gone when deleted.

use std::{fs, sync::Arc, time::Duration};

use axum::http::Request;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Room;

#[tokio::test]
async fn databases_are_opened_by_their_first_request_and_closed_when_idle() {
    let room = Room::new().await;
    assert!(!room.files(&room.database).exists(), "a database that was never used has no file");
    room.rows("CREATE TABLE t (a)").await.unwrap();
    room.rows("INSERT INTO t VALUES (7)").await.unwrap();
    assert!(is_open(&room, &room.database));
    room.house.clock.advance(Duration::from_secs(59));
    room.d1.databases.close_idle().await;
    assert!(is_open(&room, &room.database));
    room.house.clock.advance(Duration::from_secs(2));
    room.d1.databases.close_idle().await;
    assert!(!is_open(&room, &room.database));
    assert_eq!(room.rows("SELECT a FROM t").await, Ok(json!([[7]])));
    let room = room.restart().await;
    assert_eq!(room.rows("SELECT a FROM t").await, Ok(json!([[7]])));
}

#[tokio::test]
async fn more_databases_than_may_be_open_are_all_served() {
    const DATABASES: usize = 300;
    let room = Room::new().await;
    let mut all = Vec::new();
    for number in 0..DATABASES {
        let database = room.create(&format!("many-{number}")).await;
        room.house.clock.advance(Duration::from_millis(1));
        let create = json!({"sql": "CREATE TABLE t AS SELECT ? AS a", "params": [number]});
        room.rows_of(&database, &create).await.unwrap();
        all.push(database);
    }
    let open = all.iter().filter(|database| is_open(&room, database)).count();
    assert!((200..=257).contains(&open), "{open} are open");
    for (number, database) in all.iter().enumerate() {
        assert_eq!(room.rows_of(database, &json!({"sql": "SELECT a FROM t"})).await, Ok(json!([[number]])));
    }
}

#[tokio::test]
async fn a_deleted_database_is_gone_for_all_who_still_name_it() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    let database = Arc::clone(&room.database);
    room.rest("DELETE", &format!("/{database}"), "").await.result();
    assert!(!room.files(&database).exists());
    let error = room.rows("SELECT a FROM t").await.unwrap_err();
    assert_eq!(error, format!("The database {database} could not be found"));
    assert!(!room.files(&database).exists());
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/query"), ("POST", "/raw")] {
        let answer = room.rest_in(method, path, &json!({"sql": "SELECT 1"})).await;
        assert_eq!(answer.refusal(), (404, 7404), "{method} {path}");
    }
    // A folder that a deletion which was cut off has left goes with the next start.
    fs::create_dir_all(room.files(&database)).unwrap();
    let room = room.restart().await;
    until(|| !room.files(&database).exists()).await;
}

#[tokio::test]
async fn a_database_is_closed_after_what_its_gone_callers_left() {
    const ROUNDS: u64 = 20;
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    for round in 1..=ROUNDS {
        let mut leaving = JoinSet::new();
        for _ in 0..8 {
            let (door, database) = (room.d1.product.binding.clone().unwrap(), Arc::clone(&room.database));
            let query = json!({"sql": "INSERT INTO t SELECT ?", "params": [round]}).to_string();
            leaving.spawn(async move {
                drop(door(database, Request::post("http://d1/query").body(query.into()).unwrap()).await);
            });
        }
        tokio::task::yield_now().await;
        leaving.shutdown().await;
        room.d1.databases.close().await;
        // Whatever was kept of it, the files are whole and numbers go on.
        assert_eq!(room.rows("PRAGMA quick_check").await, Ok(json!([["ok"]])));
        room.rows("INSERT INTO t VALUES (0)").await.unwrap();
    }
    let kept = room.rows("SELECT count(*) FROM t WHERE a = 0").await;
    assert_eq!(kept, Ok(json!([[ROUNDS]])));
}

/// Whether the database's log exists, which it does while the database is open.
fn is_open(room: &Room, database: &str) -> bool {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let path = room.files(database).join("db.sqlite");
    files.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|open| open == path)
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it took more than 5 s");
}
