//! Every upload that is refused, with its status, code and the words that tell its author what to do; and that a refusal
//! changes nothing.

use product::TrialError;
use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Room, Upload, multipart};

fn module() -> Upload {
    Upload::module("export default {}")
}

fn bound(bindings: Value) -> Upload {
    module().with("bindings", bindings)
}

/// An upload, its refusal's status and code, and words that the refusal says.
type Case = (Upload, u16, u64, &'static str);

/// Tries each case as a first deploy; none may be tried or kept.
async fn check(cases: Vec<Case>) {
    let room = Room::open().await;
    for (upload, status, code, words) in cases {
        let answer = room.put("hello", &upload).await;
        assert_ne!(answer.status, 200, "the case of `{words}` was accepted");
        let (actual, actual_code, message) = answer.refusal();
        assert_eq!((actual, actual_code), (status, code), "{message}");
        assert!(message.contains(words), "{message} should say {words}");
    }
    assert!(room.runtime.trials.lock().expect("no panic").is_empty(), "nothing was tried");
    assert_eq!(room.get("/scripts").await.ok(), json!([]), "nothing was kept");
}

#[tokio::test]
async fn metadata_that_contradicts_itself_is_refused() {
    let annotated = |name: &str, text: &str| module().with("annotations", json!({name: text}));
    let dated = |date: &str| module().with("compatibility_date", json!(date));
    check(vec![
        (Upload::empty(json!("text")), 400, 10_026, "metadata"),
        (module().with("bindings", json!({})), 400, 10_026, "metadata"),
        (module().with("main_module", Value::Null), 400, 10_026, "neither"),
        (module().with("body_part", json!("index.js")), 400, 10_026, "both"),
        (module().with("main_module", json!("gone.js")), 400, 10_021, "No such module \"gone.js\""),
        (module().file("metadata", "text/plain", "{}"), 400, 10_026, "two parts named `metadata`"),
        (dated("yesterday"), 400, 10_021, "'yesterday'"),
        (dated("2026-02-30"), 400, 10_021, "'2026-02-30'"),
        (dated("2027-01-01"), 400, 10_021, "in the future"),
        (annotated("workers/message", &"x".repeat(1_001)), 400, 10_021, "workers/message"),
        (annotated("workers/alias", "No"), 400, 10_021, "alias 'No'"),
        (annotated("workers/alias", &"a".repeat(60)), 400, 10_021, "too long"),
        (module().with("assets", json!({"jwt": "x"})), 400, 10_501, "static assets"),
        (module().with("exports", json!({"A": {"type": "durable-object"}})), 400, 100_402, "invalid_export"),
        (module().with("migrations", json!({"steps": 1})), 400, 10_026, "metadata"),
    ])
    .await;
}

#[tokio::test]
async fn modules_that_cannot_be_are_refused() {
    let named_text = module().with("main_module", json!("t")).file("t", "text/plain", "");
    let many = (0..1_000).fold(module(), |upload, n| upload.file(&format!("m{n}"), "text/plain", ""));
    let big = module().file("big.bin", "application/octet-stream", noise(100_000));
    check(vec![
        (module().file("index.js", "text/plain", ""), 400, 10_026, "two modules named 'index.js'"),
        (
            module().file("x.bin", "image/png", ""),
            400,
            10_021,
            "'x.bin' has an unknown content type 'image/png'",
        ),
        (module().file("x.txt", "text/plain", [0xff]), 400, 10_021, "'x.txt' is not valid UTF-8"),
        (named_text, 400, 10_021, "content type"),
        (big, 413, 10_027, "exceeded the size limit"),
        (many, 400, 10_021, "more than 1000 modules"),
    ])
    .await;
}

#[tokio::test]
async fn bindings_that_cannot_be_are_refused() {
    let text =
        |name: &str, bytes: usize| json!({"name": name, "type": "plain_text", "text": "x".repeat(bytes)});
    let one = |binding: Value| bound(json!([binding]));
    let namespace = |id: &str| one(json!({"name": "K", "type": "kv_namespace", "namespace_id": id}));
    let twice = bound(json!([text("A", 1), {"name": "A", "type": "json", "json": 1}]));
    let many = bound((0..129).map(|n| text(&format!("V{n}"), 1)).collect());
    check(vec![
        (one(json!({"type": "plain_text", "text": ""})), 400, 10_052, "no name"),
        (one(json!({"name": "A"})), 400, 10_021, "binding A has no type"),
        (one(json!({"name": "A", "type": "warp_drive"})), 400, 10_021, "binding A of type warp_drive"),
        (one(json!({"name": "A", "type": "d1", "id": "x"})), 400, 10_181, "database 'x'"),
        (one(json!({"name": "A", "type": "vectorize"})), 400, 10_021, "binding A of type vectorize"),
        (one(json!({"name": "A", "type": "plain_text"})), 400, 10_021, "valid `text`"),
        (one(json!({"name": "A", "type": "wasm_module", "part": "gone"})), 400, 10_021, "names part 'gone'"),
        (one(json!({"name": "S", "type": "inherit"})), 400, 10_057, "inherit binding 'S' is invalid"),
        (one(text("A", 5_121)), 400, 10_054, "'A' exceeds"),
        (namespace(&"f".repeat(32)), 400, 10_041, "not found"),
        (namespace("mine"), 400, 10_041, "KV namespace 'mine' not found"),
        (twice, 400, 10_053, "'A' already in use"),
        (many, 400, 10_055, "more than 128"),
    ])
    .await;
}

#[tokio::test]
async fn a_name_outside_the_rules_is_refused() {
    let room = Room::open().await;
    for name in ["Hello", "a.b", "-a", "a%2Fb", "%20", &"a".repeat(64)] {
        let answer = room.put(name, &module()).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (400, 10_016), "{name}");
    }
}

/// Bytes that gzip cannot shorten, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test]
async fn what_is_no_upload_at_all_is_refused() {
    let room = Room::open().await;
    let cut = module().bytes().len() / 2;
    let cases = [
        ("application/json".to_owned(), b"{}".to_vec()),
        ("multipart/form-data".to_owned(), module().bytes()),
        (multipart(), Vec::new()),
        (multipart(), b"what is this".to_vec()),
        (multipart(), module().bytes()[..cut].to_vec()),
        (multipart(), module().bytes_of_parts()),
    ];
    for (content_type, body) in cases {
        let answer = room.send("PUT", "/scripts/hello", &content_type, body).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (400, 10_026), "{content_type}");
    }
}

#[tokio::test]
async fn a_limit_is_met_exactly() {
    let room = Room::open().await;
    let bindings: Value = (0..128)
        .map(|n| json!({"name": format!("V{n}"), "type": "plain_text", "text": "x".repeat(5_120)}))
        .collect();
    room.put("hello", &bound(bindings)).await.ok();
    let long = "a".repeat(63);
    room.put(&long, &module()).await.ok();
    // Far over the limit as it is, and under it compressed.
    room.put("hello", &module().file("zeros.bin", "application/octet-stream", vec![0; 4_000_000])).await.ok();
    room.put("hello", &bound(json!([{"name": "K", "type": "kv_namespace", "namespace_id": NAMESPACE}])))
        .await
        .ok();
    room.put("hello", &module().with("compatibility_date", json!("2026-11-22"))).await.ok();
}

#[tokio::test]
async fn a_version_that_cannot_run_is_refused_and_the_old_one_keeps_serving() {
    let room = Room::open().await;
    let version = room.deployed("hello", &module()).await;
    let broken = "Uncaught SyntaxError: Unexpected token\n  at index.js:1:7";
    *room.runtime.verdict.lock().unwrap() = Some(TrialError::Rejected(broken.to_owned()));
    let answer = room.put("hello", &module()).await;
    assert_eq!(answer.refusal(), (400, 10_021, broken), "the text reaches its author unchanged");
    assert_eq!(room.post_version("hello", &module()).await.refusal().1, 10_021);
    assert_eq!(room.put("new", &module()).await.refusal().1, 10_021);
    *room.runtime.verdict.lock().unwrap() = Some(TrialError::Unavailable("no engine".to_owned()));
    assert_eq!(room.put("hello", &module()).await.refusal().0, 503);

    assert_eq!(room.answering("hello.localhost"), Some(vec![(version, 100.0)]));
    assert_eq!(room.get("/scripts/hello/versions").await.ok()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(room.get("/services/new").await.refusal().1, 10_090);
    assert_eq!(room.post_version("gone", &module()).await.refusal().1, 10_007);
}

#[tokio::test]
async fn an_alias_never_takes_another_workers_host() {
    let room = Room::open().await;
    room.deployed("next-hello", &module()).await;
    let answer = room.put("hello", &module().with("annotations", json!({"workers/alias": "next"}))).await;
    assert_eq!(answer.refusal().1, 10_021);
    assert!(answer.refusal().2.contains("'next-hello'"));
}
