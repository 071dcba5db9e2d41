//! A plain SQLite file of a database, while others write it.

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::rusqlite::Connection;

use crate::Room;

fn rows(room: &Room, bytes: &[u8]) -> u64 {
    let path = room.folder.path().join("copy.sqlite");
    std::fs::write(&path, bytes).unwrap();
    let copy = Connection::open(&path).unwrap();
    let mode: String = copy.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "it needs no other file beside it");
    let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let (debits, credits): (u64, u64) =
        copy.query_row("SELECT sum(a), sum(-b) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(debits, credits, "a transaction is there whole");
    copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_backup_is_one_state_while_writers_go_on() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a, b, c)").await;
    let fill = "INSERT INTO t SELECT 1, -1, randomblob(1000) FROM json_each('[1,1,1,1,1,1,1,1,1,1]')";
    for _ in 0..100 {
        room.run(fill).await;
    }
    let write = async {
        for _ in 0..50 {
            room.run("INSERT INTO t VALUES (1, 0, 0); INSERT INTO t VALUES (0, -1, 0)").await;
        }
    };
    let path = format!("/{}/backup", room.database);
    let back_up = async { room.call("GET", &path, &Value::Null).await };
    let ((), backup) = tokio::join!(write, back_up);
    assert_eq!(backup.status, 200);
    assert_eq!(backup.headers["content-length"], backup.body.len().to_string());
    let found = rows(&room, &backup.body);
    assert!((1000..=1100).contains(&found), "{found}");
    assert_eq!(room.transfers(), 0, "our copy is gone");
    assert_eq!(room.call("GET", "/nobody/backup", &Value::Null).await.refusal(), (404, 7404));
}

#[tokio::test]
async fn the_bindings_dump_is_the_same_file() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, -1)").await;
    let door = room.d1.product.binding.clone().unwrap();
    let request = Request::post("http://d1/dump").body(Body::empty()).unwrap();
    let response = door(room.database.clone(), request).await;
    assert_eq!(response.status(), 200);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(rows(&room, &bytes), 1);
    let request = Request::post("http://d1/dump").body(Body::empty()).unwrap();
    let refused = door("00000000-0000-4000-8000-000000000000".into(), request).await;
    assert_eq!(refused.status(), 500);
    let refused = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&refused).unwrap()["success"], json!(false));
}
