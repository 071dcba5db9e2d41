//! Uploads damaged at random: each is answered as a success or as its author's mistake, never as ours.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use crate::harness::{NAMESPACE, Room, Upload, multipart};

/// Replaces, removes or doubles a stretch of bytes.
#[derive(Debug, Clone)]
enum Damage {
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    Double(usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let span = |at: usize, count: usize| {
            let start = at % bytes.len().max(1);
            start..(start + count).min(bytes.len())
        };
        match self {
            Self::Replace(at, new) => drop(bytes.splice(span(*at, new.len()), new.iter().copied())),
            Self::Remove(at, count) => drop(bytes.drain(span(*at, *count))),
            Self::Double(at, count) => {
                let range = span(*at, *count);
                let copy = bytes[range.clone()].to_vec();
                drop(bytes.splice(range.start..range.start, copy));
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let sign = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n-\"{}[]:;=,\\\0".to_vec())];
    prop_oneof![
        (0..4_000_usize, prop::collection::vec(sign, 1..12)).prop_map(|(at, new)| Damage::Replace(at, new)),
        (0..4_000_usize, 1..400_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (0..4_000_usize, 1..400_usize).prop_map(|(at, count)| Damage::Double(at, count)),
    ]
}

#[test]
fn a_damaged_upload_is_never_our_failure() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let room = runtime.block_on(Room::open());
    let bindings = json!([
        {"name": "A", "type": "plain_text", "text": "a"}, {"name": "B", "type": "json", "json": [1]},
        {"name": "S", "type": "secret_text", "text": "s"}, {"name": "T", "type": "text_blob", "part": "n.txt"},
        {"name": "K", "type": "kv_namespace", "namespace_id": NAMESPACE},
    ]);
    let whole = Upload::module("export default {}")
        .with("bindings", bindings)
        .with("annotations", json!({"workers/tag": "t", "workers/alias": "next"}))
        .with("keep_bindings", json!(["plain_text"]))
        .file("n.txt", "text/plain", "note")
        .file("index.js.map", "application/source-map", "{}")
        .bytes();
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(damage(), 1..4), |damages| {
            let mut bytes = whole.clone();
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            let answer = runtime.block_on(room.send("PUT", "/scripts/hello", &multipart(), bytes));
            prop_assert!(answer.status.is_success() || answer.status.is_client_error(), "{}", answer.json);
            prop_assert!(answer.json["success"].is_boolean());
            Ok(())
        })
        .expect("every upload is answered");
}
