//! Readers and writers of one object at once: a reader finishes with the bytes it began with, and a condition lets exactly
//! one writer win.

use axum::{body::Body, http::Request};
use futures_util::future::join_all;
use serde_json::json;

use crate::{MIB, Room, bytes, read};

#[tokio::test]
async fn exactly_one_of_many_writers_of_a_new_object_wins() {
    let room = Room::new().await;
    for (round, size) in [10, 100 * 1024].into_iter().enumerate() {
        let key = format!("key-{round}");
        let call =
            json!({"method": "put", "object": key, "onlyIf": {"etagDoesNotMatch": [{"type": "wildcard"}]}});
        let puts = (0..16).map(|writer| {
            let (room, call) = (&room, &call);
            async move { room.call(call, &vec![writer; size]).await }
        });
        let answers = join_all(puts).await;
        let won: Vec<_> = (0u8..).zip(&answers).filter(|(_, answer)| answer.code().is_none()).collect();
        assert_eq!(won.len(), 1);
        assert!(answers.iter().all(|answer| matches!(answer.code(), None | Some(10_031))));
        assert_eq!(room.get(&key).await.value(), vec![won[0].0; size]);
    }
    assert_eq!(room.files().len(), 1, "the losers' files are gone");
}

#[tokio::test]
async fn a_reader_finishes_with_the_bytes_it_began_with_whatever_comes_after() {
    let room = Room::new().await;
    for size in [1000, 9 * MIB] {
        for is_delete in [false, true] {
            let old = bytes(size);
            assert_eq!(room.put("a", &old).await.code(), None);
            let get = json!({"method": "get", "object": "a"}).to_string();
            let request = Request::get("/").header("cf-r2-request", get).body(Body::empty()).unwrap();
            let reading = room.send(request).await;
            let changed = if is_delete { room.delete("a").await } else { room.put("a", b"new").await };
            assert_eq!(changed.code(), None);
            let finished = read(reading).await;
            assert!(!finished.is_broken && finished.value() == old, "{size} {is_delete}");
        }
    }
    assert!(room.files().is_empty(), "the old files went with the change");
}
