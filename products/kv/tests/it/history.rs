//! Any history of puts, deletes, waits, sweeps and restarts, through both doors, leaves exactly what a map of a few lines
//! says.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{NOW_S, Room};

/// Few keys, so that histories meet: neighbours in the order of bytes, prefixes of each other, text that needs escapes.
const KEYS: [&str; 8] = ["a", "a/", "a/b", "a0", "b", "b%2F", "ü", "\u{10ffff}"];
const PREFIXES: [&str; 5] = ["", "a", "a/", "ü", "\u{10ffff}"];

#[derive(Debug, Clone)]
struct Put {
    key: usize,
    /// A value's bytes follow from its length; the largest is a file.
    bytes: usize,
    metadata: Option<u8>,
    ttl_s: Option<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Put(Put),
    PutByRest(Put),
    PutMany(Vec<Put>),
    Delete(usize),
    DeleteMany(Vec<usize>),
    Wait(u64),
    List(usize, usize),
    Restart,
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    bytes: usize,
    metadata: Option<u8>,
    expires_s: Option<u64>,
}

/// The model: what a reader sees at a time.
#[derive(Debug, Default)]
struct Model {
    held: BTreeMap<&'static str, Held>,
    now_s: u64,
}

impl Model {
    fn put(&mut self, put: &Put) {
        let Put { key, bytes, metadata, ttl_s } = *put;
        let expires_s = ttl_s.map(|ttl_s| self.now_s + ttl_s);
        self.held.insert(KEYS[key], Held { bytes, metadata, expires_s });
    }

    fn wait(&mut self, seconds: u64) {
        self.now_s += seconds;
        let now_s = self.now_s;
        self.held.retain(|_, held| held.expires_s.is_none_or(|expires_s| now_s < expires_s));
    }
}

fn put() -> impl Strategy<Value = Put> {
    let bytes = prop_oneof![8 => 0..3_000_usize, 1 => Just(1024 * 1024), 1 => Just(1024 * 1024 + 1)];
    let ttl_s = prop::option::of(60..180_u64);
    (0..KEYS.len(), bytes, prop::option::of(any::<u8>()), ttl_s)
        .prop_map(|(key, bytes, metadata, ttl_s)| Put { key, bytes, metadata, ttl_s })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => put().prop_map(Step::Put),
        2 => put().prop_map(Step::PutByRest),
        1 => prop::collection::vec(put(), 0..6).prop_map(Step::PutMany),
        2 => (0..KEYS.len()).prop_map(Step::Delete),
        1 => prop::collection::vec(0..KEYS.len(), 0..5).prop_map(Step::DeleteMany),
        3 => (1..120_u64).prop_map(Step::Wait),
        3 => (0..PREFIXES.len(), 1..4_usize).prop_map(|(prefix, limit)| Step::List(prefix, limit)),
        1 => Just(Step::Restart),
    ]
}

#[test]
fn any_history_leaves_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 10, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..40), |steps| {
            runtime.block_on(replay(&steps));
            Ok(())
        })
        .unwrap();
}

async fn replay(steps: &[Step]) {
    let mut room = Room::new().await;
    let mut model = Model { now_s: NOW_S, ..Model::default() };
    for step in steps {
        match step {
            Step::Put(put) => {
                put_by_binding(&room, put).await;
                model.put(put);
            }
            Step::PutByRest(put) => {
                put_by_rest(&room, put).await;
                model.put(&Put { metadata: None, ..put.clone() });
            }
            Step::PutMany(puts) => {
                let pairs: Vec<_> = puts.iter().map(pair).collect();
                room.rest_in("PUT", "/bulk", &json!(pairs).to_string()).await.result();
                puts.iter().for_each(|put| model.put(put));
            }
            Step::Delete(key) => {
                assert_eq!(room.delete(&target(KEYS[*key], "")).await.status, 200);
                model.held.remove(KEYS[*key]);
            }
            Step::DeleteMany(keys) => {
                let names: Vec<_> = keys.iter().map(|key| KEYS[*key]).collect();
                room.rest_in("DELETE", "/bulk", &json!(names).to_string()).await.result();
                model.held.retain(|key, _| !names.contains(key));
            }
            Step::Wait(seconds) => {
                room.advance_s(*seconds);
                model.wait(*seconds);
            }
            Step::List(prefix, limit) => check_list(&room, &model, PREFIXES[*prefix], *limit).await,
            Step::Restart => room = room.restart().await,
        }
    }
    check_values(&room, &model).await;
    check_list(&room, &model, "", 1000).await;
}

fn content(bytes: usize) -> String {
    (0..bytes).map(|index| char::from(b'a' + u8::try_from((index + bytes) % 26).unwrap())).collect()
}

fn metadata_text(metadata: u8) -> String {
    format!("{{\"n\":{metadata}}}")
}

/// The key as workerd sends it.
fn target(key: &str, query: &str) -> String {
    use std::fmt::Write;
    let mut path = String::from("/");
    for byte in key.bytes() {
        write!(path, "%{byte:02X}").unwrap();
    }
    format!("{path}?urlencoded=true{query}")
}

fn ttl_query(put: &Put) -> String {
    put.ttl_s.map(|ttl_s| format!("&expiration_ttl={ttl_s}")).unwrap_or_default()
}

async fn put_by_binding(room: &Room, put: &Put) {
    let mut request = Request::put(target(KEYS[put.key], &ttl_query(put)));
    if let Some(metadata) = put.metadata {
        request = request.header("cf-kv-metadata", HeaderValue::from_str(&metadata_text(metadata)).unwrap());
    }
    let answer = room.binding(request.body(Body::from(content(put.bytes))).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn put_by_rest(room: &Room, put: &Put) {
    let target = target(KEYS[put.key], &ttl_query(put));
    room.rest_in("PUT", &format!("/values{target}"), &content(put.bytes)).await.result();
}

fn pair(put: &Put) -> Value {
    let mut pair = json!({"key": KEYS[put.key], "value": content(put.bytes)});
    if let Some(metadata) = put.metadata {
        pair["metadata"] = json!({ "n": metadata });
    }
    if let Some(ttl_s) = put.ttl_s {
        pair["expiration_ttl"] = json!(ttl_s);
    }
    pair
}

async fn check_values(room: &Room, model: &Model) {
    for key in KEYS {
        let answer = room.get(&target(key, "")).await;
        let Some(held) = model.held.get(key) else {
            assert_eq!(answer.status, 404, "{key}");
            continue;
        };
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, held.bytes), "{key}");
        assert!(answer.text() == content(held.bytes), "{key} holds something else");
        let metadata = answer.headers.get("cf-kv-metadata").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(metadata, held.metadata.map(metadata_text), "{key}");
        let expiration = answer.headers.get("cf-expiration").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(expiration, held.expires_s.map(|expires_s| expires_s.to_string()), "{key}");
    }
    let names = json!({"keys": KEYS, "withMetadata": true}).to_string();
    let request = Request::post("/bulk/get").body(Body::from(names)).unwrap();
    let read = room.binding(request).await.json();
    for key in KEYS {
        let expected = model.held.get(key).map_or(Value::Null, |held| {
            let metadata = held.metadata.map_or(Value::Null, |metadata| json!({ "n": metadata }));
            json!({"value": content(held.bytes), "metadata": metadata})
        });
        assert!(read[key] == expected, "{key} in a bulk read");
    }
}

/// Walks the pages of a list.
async fn check_list(room: &Room, model: &Model, prefix: &str, limit: usize) {
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    let prefix_query: String = form_urlencoded::byte_serialize(prefix.as_bytes()).collect();
    loop {
        let query = format!("/?key_count_limit={limit}&prefix={prefix_query}&cursor={cursor}");
        let page = room.get(&query).await.json();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= limit && (keys.len() == limit || page["list_complete"] == true), "{page}");
        listed.extend(keys.iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let has_prefix = |(key, _): &(&&str, &Held)| key.starts_with(prefix);
    let expected = model.held.iter().filter(has_prefix).map(|(key, held)| {
        let mut listed = json!({ "name": key });
        if let Some(expires_s) = held.expires_s {
            listed["expiration"] = json!(expires_s);
        }
        if let Some(metadata) = held.metadata {
            listed["metadata"] = json!(metadata_text(metadata));
        }
        listed
    });
    assert_eq!(listed, expected.collect::<Vec<_>>(), "prefix `{prefix}`");
}
