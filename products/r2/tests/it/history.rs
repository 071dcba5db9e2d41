//! Any history of puts, deletes and uploads leaves what a plain map would hold, and lists of it are what the map's keys say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{Room, bytes};

#[derive(Debug, Clone)]
enum Step {
    Put { key: String, size: usize, is_only_new: bool },
    Upload { key: String, size: usize, is_aborted: bool },
    Delete(Vec<String>),
    List { prefix: String, delimiter: &'static str, start_after: Option<String>, limit: usize },
    Range { key: String, offset: usize, length: usize },
}

fn key() -> impl Strategy<Value = String> {
    "[ab/ü]{1,3}"
}

fn size() -> impl Strategy<Value = usize> {
    // Nothing, in a row, at its border, in a file.
    prop_oneof![Just(0), 1..100usize, 16_382..16_387usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), size(), any::<bool>()).prop_map(|(key, size, is_only_new)| Step::Put { key, size, is_only_new }),
        1 => (key(), size(), any::<bool>()).prop_map(|(key, size, is_aborted)| Step::Upload { key, size, is_aborted }),
        2 => prop::collection::vec(key(), 0..3).prop_map(Step::Delete),
        2 => ("[ab/]{0,2}", prop::sample::select(vec!["", "/", "a/", "ü"]), prop::option::of(key()), 1..6usize).prop_map(
            |(prefix, delimiter, start_after, limit)| Step::List { prefix, delimiter, start_after, limit }
        ),
        2 => (key(), 0..120usize, 1..120usize).prop_map(|(key, offset, length)| Step::Range { key, offset, length }),
    ]
}

type Model = BTreeMap<String, Vec<u8>>;

async fn apply(room: &Room, model: &mut Model, step: &Step) {
    match step {
        Step::Put { key, size, is_only_new } => {
            let value = bytes(*size);
            let mut call = json!({"method": "put", "object": key});
            if *is_only_new {
                call["onlyIf"] = json!({"etagDoesNotMatch": [{"type": "wildcard"}]});
            }
            let is_refused = *is_only_new && model.contains_key(key);
            assert_eq!(room.call(&call, &value).await.code(), is_refused.then_some(10_031));
            if !is_refused {
                model.insert(key.clone(), value);
            }
        }
        Step::Upload { key, size, is_aborted } => {
            let created = room.call(&json!({"method": "createMultipartUpload", "object": key}), b"").await;
            let id = created.described()["uploadId"].clone();
            let call = json!({"method": "uploadPart", "object": key, "uploadId": id, "partNumber": 7});
            let part = room.call(&call, &bytes(*size)).await.described();
            let end = if *is_aborted { "abortMultipartUpload" } else { "completeMultipartUpload" };
            let parts = json!([{"etag": part["etag"], "part": 7}]);
            let call = json!({"method": end, "object": key, "uploadId": id, "parts": parts});
            assert_eq!(room.call(&call, b"").await.code(), None);
            if !*is_aborted {
                model.insert(key.clone(), bytes(*size));
            }
        }
        Step::Delete(keys) => {
            assert_eq!(room.call(&json!({"method": "delete", "objects": keys}), b"").await.code(), None);
            model.retain(|key, _| !keys.contains(key));
        }
        Step::List { prefix, delimiter, start_after, limit } => {
            let call = json!({"method": "list", "prefix": prefix, "delimiter": delimiter, "startAfter": start_after, "limit": limit});
            let found = list(room, call, *limit).await;
            assert_eq!(found, lines(model, prefix, delimiter, start_after.as_deref()));
        }
        Step::Range { key, offset, length } => {
            let call = json!({"method": "get", "object": key, "range": {"offset": offset, "length": length}});
            let got = room.ask(&call).await;
            match model.get(key) {
                None => assert_eq!(got.code(), Some(10_007)),
                Some(value) if value.len() < *offset => assert_eq!(got.code(), Some(10_039)),
                Some(value) => assert_eq!(got.value(), &value[*offset..value.len().min(offset + length)]),
            }
        }
    }
}

/// All pages of a list.
async fn list(room: &Room, mut call: Value, limit: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut keys, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let page = room.ask(&call).await.described();
        let texts = |lines: &Value, name: Option<&str>| -> Vec<String> {
            let lines = lines.as_array().unwrap().iter();
            lines.map(|line| name.map_or(line, |name| &line[name]).as_str().unwrap().to_owned()).collect()
        };
        let (new_keys, new_prefixes) =
            (texts(&page["objects"], Some("name")), texts(&page["delimitedPrefixes"], None));
        let count = new_keys.len() + new_prefixes.len();
        assert!(count <= limit && (count == limit || page["truncated"] == json!(false)));
        for (all, new) in [(&mut keys, new_keys), (&mut prefixes, new_prefixes)] {
            for line in new {
                assert!(all.insert(line), "a line comes once");
            }
        }
        match page.get("cursor") {
            Some(cursor) => call["cursor"] = cursor.clone(),
            None => return (keys, prefixes),
        }
    }
}

/// What a list yields, by definition.
fn lines(
    model: &Model,
    prefix: &str,
    delimiter: &str,
    start_after: Option<&str>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut keys, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    let listed = model.keys().filter(|key| start_after.is_none_or(|after| after < key.as_str()));
    for key in listed {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => prefixes.insert(key[..prefix.len() + at + delimiter.len()].to_owned()),
            None => keys.insert(key.clone()),
        };
    }
    (keys, prefixes)
}

#[test]
fn any_history_leaves_what_a_map_would_hold() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        runtime.block_on(async {
            let room = Room::new().await;
            let mut model = Model::new();
            for step in &steps {
                apply(&room, &mut model, step).await;
            }
            for (key, value) in &model {
                assert!(room.get(key).await.value() == value, "{key}");
            }
            let files = model.values().filter(|value| 16 * 1024 < value.len()).count();
            assert_eq!(room.files().len(), files, "the files are those of the objects there are");
            let usage = &room.r2.buckets.usage().unwrap()[0];
            let bytes: usize = model.values().map(Vec::len).sum();
            let counted = (usage.objects, usage.bytes, usage.metadata_bytes);
            let keys: usize = model.keys().map(String::len).sum();
            assert_eq!(counted, (model.len() as u64, bytes as u64, keys as u64));
        });
        Ok(())
    });
    outcome.unwrap();
}
