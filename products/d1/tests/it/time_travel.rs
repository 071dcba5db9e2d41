//! The past of a database: any commit can be the present again, by its bookmark or by its time, and that can be undone.

use std::time::Duration;

use serde_json::{Value, json};
use v4::rfc3339;

use crate::{NOW_S, Room};

async fn bookmark(room: &Room, query: &str) -> String {
    let found = room.rest_in("GET", &format!("/time_travel/bookmark{query}"), &Value::Null).await.result();
    found["bookmark"].as_str().unwrap().to_owned()
}

async fn restore(room: &Room, query: &str) -> Value {
    room.rest_in("POST", &format!("/time_travel/restore?{query}"), &Value::Null).await.result()
}

fn later_s(seconds: u64) -> String {
    rfc3339((NOW_S + seconds) * 1000)
}

#[tokio::test]
async fn a_table_that_was_dropped_this_morning_comes_back_and_that_can_be_undone() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    room.rows("INSERT INTO t VALUES ('kept')").await.unwrap();
    let before = bookmark(&room, "").await;
    room.house.clock.advance(Duration::from_secs(3600));
    room.rows("DROP TABLE t").await.unwrap();
    room.rows("CREATE TABLE other (b)").await.unwrap();
    assert_eq!(bookmark(&room, &format!("?timestamp={}", later_s(60))).await, before);

    let restored = restore(&room, &format!("timestamp={}", later_s(60))).await;
    assert_eq!(room.rows("SELECT a FROM t").await, Ok(json!([["kept"]])));
    assert_eq!(room.rows("SELECT name FROM sqlite_master").await, Ok(json!([["t"]])));
    let (now, previous) = (&restored["bookmark"], &restored["previous_bookmark"]);
    assert!(previous.as_str() < now.as_str() && before.as_str() < previous.as_str().unwrap(), "{restored}");
    assert_eq!(bookmark(&room, "").await, now.as_str().unwrap());

    // Later commits build on it, also after a restart.
    room.rows("INSERT INTO t VALUES ('after')").await.unwrap();
    let room = room.restart().await;
    assert_eq!(room.rows("SELECT count(*) FROM t").await, Ok(json!([[2]])));
    restore(&room, &format!("bookmark={}", previous.as_str().unwrap())).await;
    assert_eq!(room.rows("SELECT name FROM sqlite_master").await, Ok(json!([["other"]])));
    restore(&room, &format!("bookmark={before}")).await;
    assert_eq!(room.rows("SELECT a FROM t").await, Ok(json!([["kept"]])));
}

#[tokio::test]
async fn every_commit_is_a_state_of_its_own_whatever_became_of_the_log() {
    let mut room = Room::new().await;
    room.rows("CREATE TABLE t (a INTEGER PRIMARY KEY, filler BLOB)").await.unwrap();
    let mut states = Vec::new();
    for number in 1..=40 {
        room.rows("INSERT INTO t (filler) VALUES (randomblob(200000))").await.unwrap();
        if number % 3 == 0 {
            room.rows("DELETE FROM t WHERE a % 3 = 0").await.unwrap();
        }
        if number % 10 == 0 {
            room = room.restart().await;
        }
        let sum = "SELECT count(*), sum(a), sum(length(filler)) FROM t";
        states.push((bookmark(&room, "").await, room.rows(sum).await.unwrap()));
    }
    for (bookmark, expected) in states.iter().rev().step_by(7) {
        restore(&room, &format!("bookmark={bookmark}")).await;
        let sum = room.rows("SELECT count(*), sum(a), sum(length(filler)) FROM t").await;
        assert_eq!(sum.as_ref(), Ok(expected));
        assert_eq!(room.rows("PRAGMA quick_check").await, Ok(json!([["ok"]])));
    }
}

#[tokio::test]
async fn what_is_no_state_of_this_database_is_refused_in_words() {
    let room = Room::new().await;
    room.rows("CREATE TABLE t (a)").await.unwrap();
    let other = room.create("other").await;
    let foreign = room.rest("GET", &format!("/{other}/time_travel/bookmark"), "").await.result();
    let foreign = foreign["bookmark"].as_str().unwrap();
    let newest = bookmark(&room, "").await;
    let ahead = newest.replacen("00000000-00000001", "00000000-000000ff", 1);
    assert_ne!(newest, ahead);
    for query in [
        String::new(),
        "?bookmark=first-primary".to_owned(),
        format!("?bookmark={foreign}"),
        format!("?bookmark={ahead}"),
        "?timestamp=yesterday".to_owned(),
        format!("?timestamp=1800000000&bookmark={newest}"),
    ] {
        let answer = room.rest_in("POST", &format!("/time_travel/restore{query}"), &Value::Null).await;
        assert_eq!(answer.refusal().0, 400, "{query}: {}", answer.text());
    }
    // Before its first commit a database is empty.
    restore(&room, "timestamp=2020-01-01T00:00:00Z").await;
    assert_eq!(room.rows("SELECT count(*) FROM sqlite_master").await, Ok(json!([[0]])));
}
