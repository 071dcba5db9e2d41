//! The v4 routes, as wrangler and the SDKs call them.

use axum::{body::Body, http::Request};
use serde_json::json;

use crate::{NOW_S, Room};

#[tokio::test]
async fn namespaces_are_made_listed_renamed_and_deleted() {
    let room = Room::new().await;
    let created = room.rest("POST", "", r#"{"title":"b"}"#).await.result();
    let id = created["id"].as_str().unwrap();
    assert_eq!(created, json!({"id": id, "title": "b", "supports_url_encoding": true}));
    assert!(room.kv.namespaces.exists(&id.parse().unwrap()).unwrap());
    assert_eq!(room.rest("GET", &format!("/{id}"), "").await.result(), created);

    assert_eq!(room.rest("POST", "", r#"{"title":"b"}"#).await.refusal(), (400, 10_014));
    assert_eq!(room.rest("POST", "", r#"{"title":""}"#).await.refusal(), (400, 10_019));
    assert_eq!(room.rest("POST", "", "{}").await.refusal(), (400, 10_019));
    let long = json!({"title": "t".repeat(513)}).to_string();
    assert_eq!(room.rest("POST", "", &long).await.refusal(), (400, 7_400));

    let renamed = room.rest("PUT", &format!("/{id}"), r#"{"title":"a"}"#).await.result();
    assert_eq!(renamed["title"], "a");
    assert_eq!(room.rest("PUT", &format!("/{id}"), r#"{"title":"test"}"#).await.refusal(), (400, 10_014));

    let titles = async |query: &str| {
        let list = room.rest("GET", query, "").await.result();
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| one["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(titles("?order=title&direction=asc").await, ["a", "test"]);
    assert_eq!(titles("?order=title&direction=desc&per_page=1").await, ["test"]);
    assert_eq!(titles("?order=title&per_page=1&page=2").await, ["test"]);
    assert!(titles("?per_page=1000&page=2").await.is_empty(), "SDKs stop at an empty page only");

    assert!(room.rest("DELETE", &format!("/{id}"), "").await.result().is_null());
    for (method, path) in
        [("GET", ""), ("DELETE", ""), ("GET", "/keys"), ("GET", "/values/a"), ("PUT", "/values/a")]
    {
        let answer = room.rest(method, &format!("/{id}{path}"), "").await;
        assert_eq!(answer.refusal(), (404, 10_013), "{method} {path}");
    }
    assert!(!room.kv.namespaces.exists(&id.parse().unwrap()).unwrap());
    assert_eq!(room.rest("GET", "/no-id/keys", "").await.refusal(), (400, 10_011));
    // The title is free again.
    room.rest("POST", "", r#"{"title":"a"}"#).await.result();
}

#[tokio::test]
async fn a_missing_key_is_404_with_code_10009() {
    let room = Room::new().await;
    for path in ["/values/none", "/metadata/none"] {
        let answer = room.rest_in("GET", path, "").await;
        assert_eq!(answer.refusal(), (404, 10_009));
        assert_eq!(answer.json()["errors"][0]["message"], "get: 'key not found'");
    }
}

#[tokio::test]
async fn a_value_is_raw_and_its_key_one_encoded_segment() {
    let room = Room::new().await;
    for (segment, key) in [("a%2Fb%20c", "a/b c"), ("%C3%BC", "ü"), ("a%252F", "a%2F"), ("plus+", "plus+")] {
        assert!(room.rest_in("PUT", &format!("/values/{segment}"), key).await.result().is_null());
        let answer = room.rest_in("GET", &format!("/values/{segment}"), "").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, key));
        let binding = room.get(&format!("/{segment}?urlencoded=true")).await;
        assert_eq!(binding.text(), key, "both doors mean the same key");
        room.rest_in("DELETE", &format!("/values/{segment}"), "").await.result();
        assert_eq!(room.rest_in("GET", &format!("/values/{segment}"), "").await.status, 404);
    }
}

#[tokio::test]
async fn expiry_and_limits_are_those_of_the_binding() {
    let room = Room::new().await;
    room.rest_in("PUT", "/values/a?expiration_ttl=60", "v").await.result();
    let expiration = (NOW_S + 60).to_string();
    assert_eq!(room.rest_in("GET", "/values/a", "").await.headers["expiration"], expiration.as_str());
    let long = "k".repeat(513);
    for (path, refusal) in [
        ("/values/a?expiration_ttl=59".to_owned(), (400, 10_033)),
        (format!("/values/a?expiration={NOW_S}"), (400, 10_033)),
        (format!("/values/{long}"), (414, 7_400)),
        ("/values/%FF".to_owned(), (400, 7_400)),
        ("/values/%2E".to_owned(), (400, 7_400)),
    ] {
        assert_eq!(room.rest_in("PUT", &path, "v").await.refusal(), refusal, "{path}");
    }
    for (query, refusal) in
        [("limit=0", (400, 10_028)), ("limit=1001", (400, 10_028)), ("cursor=x", (400, 7_400))]
    {
        assert_eq!(room.rest_in("GET", &format!("/keys?{query}"), "").await.refusal(), refusal, "{query}");
    }
    room.advance_s(60);
    assert_eq!(room.rest_in("GET", "/values/a", "").await.refusal(), (404, 10_009));
}

#[tokio::test]
async fn a_form_carries_a_value_with_metadata() {
    let room = Room::new().await;
    let put = async |form: &str| {
        let uri =
            format!("/accounts/{}/storage/kv/namespaces/{}/values/a", room.house.account, room.namespace);
        let request = Request::put(uri).header("content-type", "multipart/form-data; boundary=X");
        room.rest_request(request.body(Body::from(form.replace('\n', "\r\n"))).unwrap()).await
    };
    let value = "--X\nContent-Disposition: form-data; name=\"value\"; filename=\"v\"\n\nhello\n";
    let metadata = "--X\nContent-Disposition: form-data; name=\"metadata\"\n\n{\"n\":\"ü\"}\n";
    put(&format!("{value}{metadata}--X--\n")).await.result();
    assert_eq!(room.rest_in("GET", "/values/a", "").await.text(), "hello");
    assert_eq!(room.rest_in("GET", "/metadata/a", "").await.result(), json!({"n": "ü"}));
    assert_eq!(room.get("/a").await.headers["cf-kv-metadata"].as_bytes(), "{\"n\":\"ü\"}".as_bytes());

    put(&format!("{value}--X--\n")).await.result();
    assert!(room.rest_in("GET", "/metadata/a", "").await.result().is_null());
    let large = value.replace("hello", &"x".repeat(2 * 1024 * 1024));
    put(&format!("{metadata}{large}--X--\n")).await.result();
    assert_eq!(room.blobs().len(), 1, "a large value becomes a file as it arrives");
    assert_eq!(room.rest_in("GET", "/values/a", "").await.body.len(), 2 * 1024 * 1024);
    let long = metadata.replace('ü', &"m".repeat(1020));
    assert_eq!(put(&format!("{value}{long}--X--\n")).await.refusal(), (413, 10_024));
    assert_eq!(put(&value.replace("hello", "cut off")).await.status, 400);
    assert_eq!(put(&format!("{metadata}--X--\n")).await.refusal(), (400, 10_012));
    assert_eq!(put("nonsense").await.status, 400);
}

#[tokio::test]
async fn keys_are_listed_with_prefix_and_cursor() {
    let room = Room::new().await;
    let pairs = json!([
        {"key": "a/1", "value": "v", "expiration": NOW_S + 100, "metadata": {"x": [1, "ü"]}},
        {"key": "a/2", "value": "v", "expiration_ttl": 60},
        {"key": "a/3", "value": "v"},
        {"key": "b", "value": "v"},
    ]);
    room.rest_in("PUT", "/bulk", &pairs.to_string()).await.result();
    let first = room.rest_in("GET", "/keys?prefix=a%2F&limit=2", "").await;
    assert_eq!(
        first.result(),
        json!([
            {"name": "a/1", "expiration": NOW_S + 100, "metadata": {"x": [1, "ü"]}},
            {"name": "a/2", "expiration": NOW_S + 60},
        ])
    );
    let info = &first.json()["result_info"];
    assert_eq!(info["count"], 2);
    let cursor = info["cursor"].as_str().unwrap();
    let last = room.rest_in("GET", &format!("/keys?prefix=a%2F&limit=2&cursor={cursor}"), "").await;
    assert_eq!(last.result(), json!([{"name": "a/3"}]));
    assert_eq!(last.json()["result_info"], json!({"count": 1, "cursor": ""}));

    let other = room.rest("POST", "", r#"{"title":"other"}"#).await.result();
    let foreign = format!("/{}/keys?cursor={cursor}", other["id"].as_str().unwrap());
    assert_eq!(room.rest("GET", &foreign, "").await.refusal(), (400, 7_400));
}

#[tokio::test]
async fn bulk_calls_write_read_and_delete() {
    let room = Room::new().await;
    let pairs: Vec<_> =
        (0..1200).map(|index| json!({"key": format!("k{index}"), "value": index.to_string()})).collect();
    let written = room.rest_in("PUT", "/bulk", &json!(pairs).to_string()).await.result();
    assert_eq!(written, json!({"successful_key_count": 1200, "unsuccessful_keys": []}));
    let encoded = json!([{"key": "binary", "value": "AP8=", "base64": true, "metadata": null}]);
    room.rest_in("PUT", "/bulk", &encoded.to_string()).await.result();
    assert_eq!(&room.rest_in("GET", "/values/binary", "").await.body[..], [0, 255]);

    let read = room.rest_in("POST", "/bulk/get", r#"{"keys":["k1199","none","k3"]}"#).await.result();
    assert_eq!(read, json!({"values": {"k1199": "1199", "none": null, "k3": "3"}}));
    let body = r#"{"keys":["k3"],"type":"json","withMetadata":true}"#;
    let read = room.rest_in("POST", "/bulk/get", body).await.result();
    assert_eq!(read, json!({"values": {"k3": {"value": 3, "metadata": null}}}));

    for (method, path) in [("DELETE", "/bulk"), ("POST", "/bulk/delete")] {
        let deleted = room.rest_in(method, path, r#"["k1","k2","none"]"#).await.result();
        assert_eq!(deleted["successful_key_count"], 3);
        assert_eq!(room.rest_in("GET", "/values/k1", "").await.status, 404);
        room.rest_in("PUT", "/values/k1", "again").await.result();
    }
}

#[tokio::test]
async fn a_bulk_write_with_one_bad_pair_writes_nothing() {
    let room = Room::new().await;
    let many: Vec<_> = (0..10_001).map(|index| json!({"key": index.to_string(), "value": ""})).collect();
    let good = json!({"key": "good", "value": "v"});
    for (bad, refusal) in [
        (json!([good, {"key": "", "value": "v"}]), (400, 7_400)),
        (json!([good, {"key": "bad", "value": "v", "expiration_ttl": 1}]), (400, 10_033)),
        (json!([good, {"key": "bad", "value": "%", "base64": true}]), (400, 10_012)),
        (json!([good, {"key": "bad", "value": "v", "metadata": "m".repeat(1023)}]), (413, 10_024)),
        (json!([good, {"key": "bad"}]), (400, 7_400)),
        (json!({"key": "bad"}), (400, 7_400)),
        (json!(many), (400, 7_400)),
    ] {
        assert_eq!(room.rest_in("PUT", "/bulk", &bad.to_string()).await.refusal(), refusal);
    }
    assert_eq!(room.rest_in("GET", "/keys", "").await.result(), json!([]));
    assert_eq!(room.rest_in("POST", "/bulk/get", r#"{"keys":[]}"#).await.refusal(), (400, 7_400));
}
