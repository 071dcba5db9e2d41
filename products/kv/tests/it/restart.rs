//! What a restart keeps, and what it clears away.

use std::time::Duration;

use axum::body::Body;
use serde_json::json;
use store::rusqlite::{Connection, params};

use crate::{NOW_S, Room};

const LARGE: usize = 2 * 1024 * 1024;

#[tokio::test]
async fn a_restart_keeps_every_acknowledged_key() {
    let mut room = Room::new().await;
    for index in 0..20 {
        room.put(&format!("/key{index}?expiration_ttl=600"), format!("value{index}")).await;
    }
    room.put("/large", vec![7; LARGE]).await;
    room = room.restart().await;
    for index in 0..20 {
        assert_eq!(room.get(&format!("/key{index}")).await.text(), format!("value{index}"));
    }
    assert_eq!(room.get("/large").await.body.len(), LARGE);
    assert_eq!(room.rest("GET", "", "").await.result()[0]["title"], json!("test"));
    assert!(room.kv.namespaces.exists(&room.namespace.parse().unwrap()).unwrap());
}

#[tokio::test]
async fn a_start_removes_files_that_no_key_refers_to() {
    let mut room = Room::new().await;
    room.put("/large", vec![7; LARGE]).await;
    let folder = room.folder.path().join("kv/blobs");
    std::fs::write(folder.join("0123456789abcdef0123456789abcdef"), "its row was never committed").unwrap();
    std::fs::write(folder.join("0123456789abcdef0123456789abcde0.tmp"), "half writ").unwrap();
    room = room.restart().await;
    assert_eq!(room.blobs().len(), 1);
    assert_eq!(room.get("/large").await.body.len(), LARGE);
}

#[tokio::test]
async fn the_sweep_removes_expired_keys_and_deleted_namespaces_with_their_files() {
    let mut room = Room::new().await;
    room.put("/expires?expiration_ttl=60", vec![7; LARGE]).await;
    let other = room.rest("POST", "", r#"{"title":"other"}"#).await.result();
    let path = format!("/{}/values/large", other["id"].as_str().unwrap());
    room.rest("PUT", &path, &"x".repeat(LARGE)).await.result();
    room.rest("DELETE", &format!("/{}", other["id"].as_str().unwrap()), "").await.result();
    room.put("/stays", vec![7; LARGE]).await;
    room.advance_s(60);
    assert_eq!(room.blobs().len(), 3, "nobody has swept yet");
    // Each start begins with a sweep, in the background.
    room = room.restart().await;
    let swept = async {
        while room.blobs().len() != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), swept).await.unwrap();
    assert_eq!(room.get("/stays").await.body.len(), LARGE);
}

#[tokio::test]
async fn the_totals_of_a_namespace_are_kept_by_every_write() {
    let mut room = Room::new().await;
    let usage = |room: &Room| {
        let all = room.kv.namespaces.usage().unwrap();
        let ours = all.into_iter().find(|usage| usage.namespace == *room.namespace).unwrap();
        (ours.keys, ours.bytes)
    };
    assert_eq!(usage(&room), (0, 0));
    room.put("/a", "12345").await;
    room.put("/b?expiration_ttl=60", vec![7; LARGE]).await;
    room.put("/a", "123").await;
    assert_eq!(usage(&room), (2, LARGE as u64 + 3));
    room.rest_in("PUT", "/bulk", r#"[{"key":"c","value":"1"},{"key":"c","value":"12"}]"#).await.result();
    assert_eq!(usage(&room), (3, LARGE as u64 + 5));
    room.delete("/c").await;
    room.delete("/none").await;
    room.advance_s(60);
    room = room.restart().await;
    let swept = async {
        while usage(&room) != (1, 3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), swept).await.unwrap();
}

#[tokio::test]
async fn a_put_whose_caller_went_away_is_whole_or_absent() {
    let room = Room::new().await;
    for round in 0..20 {
        let door = room.kv.product.binding.clone().unwrap();
        let request = axum::http::Request::put("/a").body(Body::from(vec![7; LARGE])).unwrap();
        let put = door(room.namespace.clone(), request);
        let _ = tokio::time::timeout(Duration::from_millis(round), put).await;
    }
    let answer = room.get("/a").await;
    assert!(answer.status == 404 || answer.body.len() == LARGE, "{answer:?}");
}

/// A shard as the first release left it.
const FIRST_RELEASE: &str = concat!(
    "CREATE TABLE migration (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT;
     INSERT INTO migration (name) VALUES ('2026-11-21-init');",
    include_str!("../../migrations/2026-11-21-init.sql"),
);

#[tokio::test]
async fn keys_of_the_first_release_are_kept_counted_and_written_anew() {
    let room = Room::new().await;
    let id = room.namespace.clone();
    let mut room = room
        .restart_after(|folder| {
            let shards = (0..4).map(|shard| folder.join(format!("shard-{shard:02}.sqlite")));
            let is_its = |file: &std::path::PathBuf| {
                let shard = Connection::open(file).unwrap();
                let count = "SELECT count(*) FROM namespace WHERE id = ?1";
                shard.query_row(count, [&id], |row| row.get::<_, u32>(0)).unwrap() == 1
            };
            let file = shards.into_iter().find(is_its).unwrap();
            std::fs::remove_file(&file).unwrap();
            let old = Connection::open(&file).unwrap();
            old.pragma_update(None, "journal_mode", "WAL").unwrap();
            old.execute_batch(FIRST_RELEASE).unwrap();
            old.execute("INSERT INTO namespace VALUES (1, ?1)", [&id]).unwrap();
            let insert =
                "INSERT INTO entry (namespace, key, expires_s, metadata, value) VALUES (1, ?1, ?2, ?3, ?4)";
            let later = NOW_S + 600;
            old.execute(insert, params![b"plain", None::<u64>, None::<&str>, b"old"]).unwrap();
            old.execute(insert, params![b"rich", later, r#"{"n":1}"#, b"older"]).unwrap();
        })
        .await;
    for _ in 0..2 {
        assert_eq!(room.get("/plain").await.text(), "old");
        let rich = room.get("/rich").await;
        assert_eq!((rich.text(), &rich.headers["cf-kv-metadata"]), ("older", &r#"{"n":1}"#.parse().unwrap()));
        let usage = room.kv.namespaces.usage().unwrap();
        assert_eq!((usage[0].keys, usage[0].bytes), (2, 8));
        let listed = room.get("/?prefix=r").await.json();
        assert_eq!(listed["keys"][0]["expiration"], json!(NOW_S + 600));
        room = room.restart().await;
    }
    room.put("/plain", "new").await;
    assert_eq!(room.restart().await.get("/plain").await.text(), "new");
}
