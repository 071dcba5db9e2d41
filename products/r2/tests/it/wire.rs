//! The binding's wire: limits of what objects carry, pages that always make progress, errors that can be read.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{MIB, Room, bytes};

/// Custom metadata (Cloudflare: R2 limits page), and, apart from it, the texts of HTTP metadata (ours).
const METADATA_BYTES_MAX: usize = 8192;

#[tokio::test]
async fn http_and_custom_metadata_have_a_limit_at_every_door() {
    let room = Room::new().await;
    let described = |method: &str, http_bytes: usize, custom_bytes: usize| {
        let (first, second) = (http_bytes / 2, http_bytes - http_bytes / 2);
        json!({
            "method": method,
            "object": "a",
            "httpFields": {"contentType": "t".repeat(first), "cacheControl": "c".repeat(second)},
            "customFields": [{"k": "name", "v": "v".repeat(custom_bytes - 4)}],
        })
    };
    for method in ["put", "createMultipartUpload"] {
        let most = room.call(&described(method, METADATA_BYTES_MAX, METADATA_BYTES_MAX), b"").await;
        assert_eq!(most.code(), None, "{method}");
        for (http_bytes, custom_bytes) in
            [(METADATA_BYTES_MAX + 1, 4), (0, METADATA_BYTES_MAX + 1), (2 * MIB, 4), (0, 2 * MIB)]
        {
            let refused = room.call(&described(method, http_bytes, custom_bytes), b"").await;
            assert_eq!(refused.code(), Some(10_012), "{method} {http_bytes} {custom_bytes}");
        }
    }
    let long = "t".repeat(METADATA_BYTES_MAX + 1);
    let put = room.rest("PUT", "/bucket/objects/a", &[("content-disposition", &long)], "v").await;
    assert_eq!(put.refusal(), (400, 10_012));
}

#[tokio::test]
async fn a_list_of_objects_with_large_metadata_goes_on_in_smaller_pages() {
    let room = Room::new().await;
    // A quotation mark takes two bytes in the answer: 300 objects do not fit into one.
    let value = "\"".repeat(METADATA_BYTES_MAX - 1);
    let puts = (0..300).map(|number| {
        let fields = json!([{"k": "n", "v": value}]);
        let call = json!({"method": "put", "object": format!("{number:03}"), "customFields": fields});
        let room = &room;
        async move { room.call(&call, b"").await.status }
    });
    assert!(join_all(puts).await.iter().all(|status| *status == 200));
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, Value::Null);
    loop {
        let page = room.ask(&json!({"method": "list", "include": [0, 1], "cursor": cursor})).await;
        assert!(page.body.len() < MIB, "workerd reads no more");
        let page = page.described();
        let objects = page["objects"].as_array().unwrap();
        assert!(!objects.is_empty());
        keys.extend(objects.iter().map(|object| object["name"].as_str().unwrap().to_owned()));
        pages += 1;
        if page["truncated"] == json!(false) {
            break;
        }
        cursor = page["cursor"].clone();
    }
    assert_eq!(keys, (0..300).map(|number| format!("{number:03}")).collect::<Vec<_>>());
    assert_eq!(pages, 5);
}

#[tokio::test]
async fn an_error_arrives_whatever_text_it_quotes() {
    let room = Room::new().await;
    for class in ["ü\u{7f}\n\u{1f600}", "\u{0}"] {
        let put = room.call(&json!({"method": "put", "object": "a", "storageClass": class}), b"").await;
        let (code, message) = put.error().unwrap();
        assert_eq!(code, 10_029);
        assert!(message.contains(class), "{message}");
    }
    let long = room.call(&json!({"method": "put", "object": "a", "sha256": "00".repeat(MIB)}), b"").await;
    assert_eq!(long.code(), Some(10_014));
    let long =
        room.call(&json!({"method": "put", "object": "a", "storageClass": "x".repeat(MIB)}), b"").await;
    assert!(long.headers["cf-r2-error"].len() < 1024);
}

#[tokio::test]
async fn a_body_of_another_length_than_was_said_is_refused_and_the_old_object_stays() {
    let room = Room::new().await;
    assert_eq!(room.put("a", b"old").await.status, 200);
    let call = json!({"method": "put", "object": "a"}).to_string();
    for size in [10, 20 * 1024, 2 * MIB] {
        for said in [size - 1, size + 1] {
            let body = [call.as_bytes(), &bytes(size)].concat();
            let request = axum::http::Request::put("/")
                .header("cf-r2-metadata-size", call.len())
                .header("content-length", call.len() + said);
            let answer = room.binding(request.body(body.into()).unwrap()).await;
            assert_eq!(answer.code(), Some(10_013), "{size} {said}");
        }
    }
    assert_eq!(room.get("a").await.value(), b"old");
    assert!(room.files().is_empty(), "nothing of the refused bodies stays");
}
