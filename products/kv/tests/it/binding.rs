//! The binding's wire, as `workerd` was seen to speak it.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::{NOW_S, Room};

#[tokio::test]
async fn a_value_comes_back_as_it_was_put() {
    let room = Room::new().await;
    assert_eq!(room.get("/a?urlencoded=true").await.status, 404);
    for value in [&b"hello"[..], b"", &[0, 255, 10, 13]] {
        assert_eq!(room.put("/a?urlencoded=true", value.to_vec()).await.status, 200);
        let answer = room.get("/a?urlencoded=true&cache_ttl=60").await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, value));
        assert_eq!(answer.headers["content-length"], value.len().to_string().as_str());
        assert!(!answer.headers.contains_key("cf-kv-metadata"));
    }
    assert_eq!(room.delete("/a?urlencoded=true").await.status, 200);
    assert_eq!(room.delete("/a?urlencoded=true").await.status, 200, "deleting twice is no error");
    let gone = room.get("/a?urlencoded=true").await;
    assert_eq!((gone.status.as_u16(), gone.reason.as_deref()), (404, Some("Not Found")));
}

#[tokio::test]
async fn keys_are_any_text_and_are_decoded_once() {
    let room = Room::new().await;
    let keys = [
        ("/a%2Fb?urlencoded=true", "a/b"),
        ("/a%252Fb?urlencoded=true", "a%2Fb"),
        ("/a%20b+c?urlencoded=true", "a b+c"),
        ("/%C3%BC%F0%9F%98%80?urlencoded=true", "ü😀"),
        ("/%3Fx=%26?urlencoded=true", "?x=&"),
        ("/%00?urlencoded=true", "\0"),
        ("/%2F?urlencoded=true", "/"),
        ("/bulk%2Fget?urlencoded=true", "bulk/get"),
        ("/raw%20", "raw%20"),
    ];
    for (target, key) in keys {
        assert_eq!(room.put(target, key).await.status, 200, "{key}");
    }
    for (target, key) in keys {
        assert_eq!(room.get(target).await.text(), key);
    }
    let listed = room.get("/").await.json();
    let mut expected: Vec<_> = keys.iter().map(|(_, key)| *key).collect();
    expected.sort_unstable();
    let names: Vec<_> =
        listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, expected, "keys are listed in the order of their bytes");
}

const KEY_TOO_LONG: &str = "UTF-8 encoded length of 513 exceeds key length limit of 512.";

/// Each request must be refused with this status and reason phrase, which user code sees.
async fn check_refusals(room: &Room, cases: Vec<(Request<Body>, u16, String)>) {
    for (request, status, reason) in cases {
        let target = format!("{} {}", request.method(), request.uri());
        let answer = room.binding(request).await;
        assert_eq!((answer.status.as_u16(), answer.reason), (status, Some(reason)), "{target}");
    }
}

#[tokio::test]
async fn reads_and_lists_beyond_a_limit_are_refused_in_cloudflares_words() {
    let room = Room::new().await;
    let long = "k".repeat(513);
    let get = |target: &str, status: u16, reason: &str| {
        (Request::get(target).body(Body::empty()).unwrap(), status, reason.to_owned())
    };
    let cases = vec![
        get(&format!("/{long}"), 414, KEY_TOO_LONG),
        get("/.", 400, "Illegal key name \".\". Please use a different name."),
        get("/%FF?urlencoded=true", 400, "Could not URL-decode key name"),
        get("/%zz?urlencoded=true", 400, "Could not URL-decode key name"),
        get("/a?cache_ttl=29", 400, "Invalid cache_ttl of 29. Cache TTL must be at least 30."),
        get(
            "/?key_count_limit=0",
            400,
            "Invalid key_count_limit of 0. Please specify an integer greater than 0.",
        ),
        get(
            "/?key_count_limit=1001",
            400,
            "Invalid key_count_limit of 1001. Please specify an integer less than 1000.",
        ),
        get(&format!("/?prefix={long}"), 414, KEY_TOO_LONG),
        get(
            "/?cursor=garbage",
            400,
            "Invalid cursor. Please pass the cursor of the previous page of the same namespace.",
        ),
    ];
    check_refusals(&room, cases).await;
    let patch = Request::patch("/a").body(Body::empty()).unwrap();
    assert_eq!(room.binding(patch).await.status, 405);
}

#[tokio::test]
async fn puts_beyond_a_limit_are_refused_in_cloudflares_words() {
    let room = Room::new().await;
    let put = |target: &str, status: u16, reason: &str| {
        (Request::put(target).body(Body::from("v")).unwrap(), status, reason.to_owned())
    };
    let put_metadata =
        |metadata: &str| Request::put("/a").header("CF-KV-Metadata", metadata).body(Body::from("v")).unwrap();
    let soon = NOW_S + 59;
    let cases = vec![
        put(&format!("/{}", "k".repeat(513)), 414, KEY_TOO_LONG),
        put("/%2E%2E?urlencoded=true", 400, "Illegal key name \"..\". Please use a different name."),
        put(
            "/a?expiration_ttl=0",
            400,
            "Invalid expiration_ttl of 0. Please specify integer greater than 0.",
        ),
        put("/a?expiration_ttl=59", 400, "Invalid expiration_ttl of 59. Expiration TTL must be at least 60."),
        put(
            "/a?expiration=1",
            400,
            "Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.",
        ),
        put(
            &format!("/a?expiration={soon}"),
            400,
            &format!(
                "Invalid expiration of {soon}. Expiration times must be at least 60 seconds in the future."
            ),
        ),
        (
            put_metadata(&format!("\"{}\"", "m".repeat(1023))),
            413,
            "Metadata length of 1025 exceeds limit of 1024.".to_owned(),
        ),
        (put_metadata("{"), 400, "Metadata must be valid JSON.".to_owned()),
    ];
    check_refusals(&room, cases).await;
    assert_eq!(room.get("/").await.json()["keys"], json!([]));
    // The limits themselves are allowed.
    assert_eq!(room.put(&format!("/{}?expiration_ttl=60", "k".repeat(512)), "v").await.status, 200);
    assert_eq!(room.binding(put_metadata(&format!("\"{}\"", "m".repeat(1022)))).await.status, 200);
}

#[tokio::test]
async fn bulk_reads_beyond_a_limit_are_refused_in_cloudflares_words() {
    let room = Room::new().await;
    room.put("/text", "no json").await;
    let keys_101: Vec<String> = (0..101).map(|index| index.to_string()).collect();
    let bulk = |body: Value, reason: &str| {
        (Request::post("/bulk/get").body(Body::from(body.to_string())).unwrap(), 400, reason.to_owned())
    };
    let cases = vec![
        bulk(json!({"keys": []}), "You must request a minimum of 1 key"),
        bulk(json!({"keys": keys_101}), "You can request a maximum of 100 keys"),
        bulk(
            json!({"keys": ["a"], "type": "stream"}),
            "\"stream\" is not a valid type. Use \"json\" or \"text\"",
        ),
        bulk(
            json!({"keys": ["text"], "type": "json"}),
            "At least one of the requested keys corresponds to a non-json value",
        ),
        bulk(json!({"keys": [""]}), "Key names must not be empty"),
        bulk(
            json!({"keys": ["a"], "cacheTtl": "5"}),
            "Invalid cache_ttl of 5. Cache TTL must be at least 30.",
        ),
    ];
    check_refusals(&room, cases).await;
}

#[tokio::test]
async fn metadata_travels_as_raw_utf8() {
    let room = Room::new().await;
    let metadata = r#"{"name":"Jürgen 😀","n":1.50}"#;
    let header = axum::http::HeaderValue::from_bytes(metadata.as_bytes()).unwrap();
    let request = Request::put("/a").header("CF-KV-Metadata", header).body(Body::from("v")).unwrap();
    assert_eq!(room.binding(request).await.status, 200);
    assert_eq!(room.get("/a").await.headers["cf-kv-metadata"].as_bytes(), metadata.as_bytes());
    // In a list it is JSON text within a string, which workerd parses.
    assert_eq!(room.get("/").await.json()["keys"], json!([{"name": "a", "metadata": metadata}]));
    room.put("/a", "w").await;
    assert!(!room.get("/a").await.headers.contains_key("cf-kv-metadata"), "a put replaces metadata too");
}

#[tokio::test]
async fn a_key_is_gone_in_the_second_its_time_comes() {
    let room = Room::new().await;
    room.put("/ttl?expiration_ttl=60", "v").await;
    room.put(&format!("/time?expiration={}", NOW_S + 61), "v").await;
    room.put("/ever", "v").await;
    let names = async || -> Vec<String> {
        let keys = room.get("/").await.json()["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    room.advance_s(59);
    assert_eq!(names().await, ["ever", "time", "ttl"]);
    assert_eq!(room.get("/ttl").await.headers["cf-expiration"], (NOW_S + 60).to_string().as_str());
    room.advance_s(1);
    assert_eq!(room.get("/ttl").await.status, 404);
    assert_eq!(room.get("/time").await.status, 200);
    assert_eq!(names().await, ["ever", "time"]);
    room.advance_s(1);
    assert_eq!(room.get("/time").await.status, 404);
    let bulk = Request::post("/bulk/get").body(Body::from(r#"{"keys":["time","ever"]}"#)).unwrap();
    assert_eq!(room.binding(bulk).await.json(), json!({"time": null, "ever": "v"}));
    room.put("/ttl", "again").await;
    assert_eq!(room.get("/ttl").await.text(), "again", "a put without expiry lives for ever");
}

#[tokio::test]
async fn pages_cover_every_key_once_even_while_keys_change() {
    let room = Room::new().await;
    let pairs: Vec<_> =
        (0..2500).map(|index| json!({"key": format!("p/{index:05}"), "value": "v"})).collect();
    room.rest_in("PUT", "/bulk", &json!(pairs).to_string()).await.result();
    room.put("/a", "outside").await;
    room.put("/q", "outside").await;
    let mut names: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = room.get(&format!("/?key_count_limit=700&prefix=p%2F&cursor={cursor}")).await.json();
        names.extend(
            page["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()),
        );
        // The key at which the next page resumes may go meanwhile.
        room.delete(&format!("/{}?urlencoded=true", names.last().unwrap().replace('/', "%2F"))).await;
        assert_eq!(page["list_complete"], json!(page.get("cursor").is_none()));
        match page.get("cursor") {
            Some(next) => cursor = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    let expected: Vec<_> = (0..2500).map(|index| format!("p/{index:05}")).collect();
    assert_eq!(names, expected);
    let whole = room.get("/?key_count_limit=2&prefix=q").await.json();
    assert_eq!(whole, json!({"keys": [{"name": "q"}], "list_complete": true}));
    assert_eq!(
        room.get("/").await.json()["keys"].as_array().unwrap().len(),
        1000,
        "the default is a thousand"
    );
}

#[tokio::test]
async fn a_bulk_read_answers_in_the_order_asked_for() {
    let room = Room::new().await;
    let metadata =
        Request::put("/j").header("CF-KV-Metadata", r#"{"m":1}"#).body(Body::from(r#"{"b":1,"a":2}"#));
    room.binding(metadata.unwrap()).await;
    room.put("/t", "42").await;
    let bulk = async |body: &str| {
        let request = Request::post("/bulk/get").body(Body::from(body.to_owned())).unwrap();
        room.binding(request).await.text().to_owned()
    };
    assert_eq!(
        bulk(r#"{"keys":["t","none","j","t"]}"#).await,
        r#"{"t":"42","none":null,"j":"{\"b\":1,\"a\":2}"}"#
    );
    assert_eq!(bulk(r#"{"keys":["j","t"],"type":"json"}"#).await, r#"{"j":{"b":1,"a":2},"t":42}"#);
    assert_eq!(
        bulk(r#"{"keys":["none","j","t"],"withMetadata":true,"cacheTtl":"60"}"#).await,
        r#"{"none":null,"j":{"value":"{\"b\":1,\"a\":2}","metadata":{"m":1}},"t":{"value":"42","metadata":null}}"#
    );
}

#[tokio::test]
async fn a_write_to_a_deleted_namespace_is_refused_and_a_read_finds_nothing() {
    let room = Room::new().await;
    room.put("/a", "v").await;
    assert_eq!(room.rest_in("DELETE", "", "").await.status, 200);
    let answer = room.put("/a", "v").await;
    assert_eq!((answer.status.as_u16(), answer.reason.as_deref()), (404, Some("namespace not found")));
    assert_eq!(room.get("/a").await.status, 404);
    assert_eq!(room.get("/").await.json(), json!({"keys": [], "list_complete": true}));
}
