//! Large values: streamed, bounded, checked, and gone from the disk when they are replaced.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;

use crate::Room;

const MIB: usize = 1024 * 1024;

/// A body of unknown length that arrives in pieces.
fn streamed(bytes: usize) -> Body {
    let piece = Bytes::from((0..=250u8).cycle().take(65_537).collect::<Vec<_>>());
    let lengths =
        (0..bytes).step_by(piece.len()).map(move |start| piece.slice(..(bytes - start).min(piece.len())));
    Body::from_stream(stream::iter(lengths.map(Ok::<_, Infallible>)))
}

async fn content(body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn values_up_to_25_mib_come_back_whole() {
    let room = Room::new().await;
    for bytes in [MIB - 1, MIB, MIB + 1, 25 * MIB] {
        assert_eq!(room.put("/a", streamed(bytes)).await.status, StatusCode::OK, "{bytes}");
        let answer = room.get("/a").await;
        assert_eq!(answer.headers["content-length"], bytes.to_string().as_str());
        assert!(answer.body == content(streamed(bytes)).await, "{bytes} bytes differ");
        assert_eq!(room.blobs().len(), usize::from(MIB < bytes), "{bytes}");
    }
}

#[tokio::test]
async fn one_byte_more_is_refused_by_both_doors_and_leaves_nothing() {
    let room = Room::new().await;
    room.put("/a", "before").await;
    let answer = room.put("/a", streamed(25 * MIB + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.reason.unwrap(), "Value length of 26214401 exceeds limit of 26214400.");
    let uri = format!("/accounts/{}/storage/kv/namespaces/{}/values/a", room.house.account, room.namespace);
    let request = Request::put(uri).body(streamed(25 * MIB + 1)).unwrap();
    assert_eq!(room.rest_request(request).await.refusal(), (413, 10_024));
    assert_eq!(room.get("/a").await.text(), "before");
    assert!(room.blobs().is_empty(), "{:?}", room.blobs());
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let room = Room::new().await;
    room.put("/a", "before").await;
    for bytes in [10, 2 * MIB] {
        let whole = streamed(bytes).into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other));
        let broken = whole.chain(stream::iter([Err(std::io::Error::other("gone"))]));
        assert_eq!(room.put("/a", Body::from_stream(broken)).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(room.get("/a").await.text(), "before");
    assert!(room.blobs().is_empty());
}

#[tokio::test]
async fn replacing_and_deleting_remove_the_file_but_not_from_under_its_readers() {
    let room = Room::new().await;
    room.put("/a", streamed(3 * MIB)).await;
    let door = room.kv.product.binding.clone().unwrap();
    let request = Request::get("/a").body(Body::empty()).unwrap();
    let reading = door(room.namespace.clone(), request).await;
    room.put("/a", "small").await;
    assert!(room.blobs().is_empty());
    assert_eq!(content(reading.into_body()).await.len(), 3 * MIB);

    room.put("/a", streamed(2 * MIB)).await;
    room.put("/a", streamed(2 * MIB)).await;
    assert_eq!(room.blobs().len(), 1);
    room.delete("/a").await;
    assert!(room.blobs().is_empty());
}

#[tokio::test]
async fn readers_of_a_large_value_that_is_replaced_all_the_time_see_one_of_its_values() {
    let room = Room::new().await;
    room.put("/a", streamed(MIB + 1)).await;
    let write = async {
        for turn in 0..30 {
            assert_eq!(room.put("/a", streamed(MIB + 1 + turn)).await.status, StatusCode::OK);
        }
    };
    let read = async {
        for _ in 0..100 {
            let answer = room.get("/a").await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.headers["content-length"], answer.body.len().to_string().as_str());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_damaged_file_is_never_delivered_whole() {
    let room = Room::new().await;
    room.put("/a", streamed(2 * MIB)).await;
    let file = room.blobs().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let door = room.kv.product.binding.clone().unwrap();
    let answer = door(room.namespace.clone(), Request::get("/a").body(Body::empty()).unwrap()).await;
    assert!(answer.into_body().collect().await.is_err());
    let bulk = Request::post("/bulk/get").body(Body::from(r#"{"keys":["a"]}"#)).unwrap();
    assert_eq!(room.binding(bulk).await.status, StatusCode::INTERNAL_SERVER_ERROR);

    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        room.get("/a").await.status,
        StatusCode::INTERNAL_SERVER_ERROR,
        "a lost file is not a missing key"
    );
}

#[tokio::test]
async fn a_bulk_read_of_more_than_25_mib_is_refused() {
    let room = Room::new().await;
    room.put("/a", streamed(13 * MIB)).await;
    room.put("/b", streamed(13 * MIB)).await;
    let bulk = Request::post("/bulk/get").body(Body::from(r#"{"keys":["a","b"]}"#)).unwrap();
    let answer = room.binding(bulk).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.reason.unwrap(), "Total size of request exceeds the limit of 25MB");
}

/// Memory for values on their way in, in values of a mebibyte.
const RECEIVED_AT_ONCE: usize = 128;

#[tokio::test]
async fn when_memory_is_taken_values_go_to_files_and_nobody_waits() {
    let room = Room::new().await;
    // Slow senders, each with a part of a value that would fit into a row.
    let part = Bytes::from(vec![b'x'; 70 * 1024]);
    let slow: Vec<_> = (0..RECEIVED_AT_ONCE)
        .map(|index| {
            let start = stream::iter([Ok::<_, Infallible>(part.clone())]);
            let door = room.kv.product.binding.clone().unwrap();
            let body = Body::from_stream(start.chain(stream::pending()));
            let request = Request::put(format!("/slow-{index}")).body(body).unwrap();
            Box::pin(door(room.namespace.clone(), request))
        })
        .collect();
    let slow: Vec<_> = slow
        .into_iter()
        .map(|mut put| {
            assert!(futures_util::FutureExt::now_or_never(&mut put).is_none(), "its sender is not done");
            put
        })
        .collect();
    let value = vec![b'y'; 100 * 1024];
    assert_eq!(room.put("/a", value.clone()).await.status, StatusCode::OK);
    assert_eq!(room.blobs().len(), 1, "no memory was left for it");
    assert!(room.get("/a").await.body == value);
    drop(slow);
    assert_eq!(room.put("/a", value.clone()).await.status, StatusCode::OK);
    assert!(room.blobs().is_empty(), "memory comes back with the senders' end");
    assert!(room.get("/a").await.body == value);
}
