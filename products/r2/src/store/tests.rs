//! What the store promises to all doors: bytes come back as they were given, whatever happens in between.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use model::BucketName;
use proptest::prelude::*;
use store::rusqlite::Connection;
use tasks::{Clock, Tasks};

use super::{
    CopyFrom, CopyTo, Done, Events, Get, Incoming, NewBucket, NewUpload, NoEvents, Put, Setting, Store,
    UploadId,
    changes::{Creation, Event},
};
use crate::{
    R2Error,
    model::{
        Attributes, Conditions, CustomMetadata, CustomerKey, Etag, EtagMatch, Key, Lifecycle, ListQuery,
        Listed, NamedPart, Object, PART_BYTES_MIN, PartNumber, Range, StorageClass,
    },
};

const MIB: usize = 1024 * 1024;

struct Room {
    folder: tempfile::TempDir,
    store: Store,
    tasks: Tasks,
    bucket: BucketName,
}

impl Room {
    async fn new() -> Self {
        Self::telling(Arc::new(NoEvents)).await
    }

    async fn telling(events: Arc<dyn Events>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, tasks) = open(folder.path(), events).await;
        let room = Self { folder, store, tasks, bucket: name("bucket") };
        room.make("bucket").await;
        room
    }

    async fn restart(self) -> Self {
        let Self { folder, store, tasks, bucket } = self;
        assert!(tasks.stop(Duration::from_secs(5)).await);
        store.close().await;
        let (store, tasks) = open(folder.path(), Arc::new(NoEvents)).await;
        Self { folder, store, tasks, bucket }
    }

    async fn make(&self, bucket: &str) {
        let new = NewBucket {
            name: name(bucket),
            location: None,
            jurisdiction: "default".to_owned(),
            storage_class: StorageClass::Standard,
        };
        self.store.bucket_create(new).await.unwrap();
    }

    async fn put_with(
        &self,
        at: &str,
        bytes: &[u8],
        conditions: Conditions,
        customer_key: Option<CustomerKey>,
    ) -> Result<Object, R2Error> {
        let incoming = Incoming { length: Some(bytes.len() as u64), customer_key, ..Incoming::default() };
        let body = self.store.receive(&self.bucket, chunked(bytes), incoming).await?;
        let custom = CustomMetadata::parse(vec![("name".to_owned(), "value".to_owned())])?;
        let attributes = Attributes { custom, ..Attributes::default() };
        self.store.put(&self.bucket, Put { key: key(at), attributes, conditions, body }).await
    }

    async fn put(&self, at: &str, bytes: &[u8]) -> Object {
        self.put_with(at, bytes, Conditions::default(), None).await.unwrap()
    }

    async fn get_with(&self, bucket: &BucketName, at: &str, get: Get) -> Result<Bytes, R2Error> {
        let (body, span) = self.store.get(bucket, &key(at), get)?.body.ok_or(R2Error::PreconditionFailed)?;
        let bytes = body.into_body().await?.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, span.length());
        Ok(bytes)
    }

    async fn get(&self, at: &str) -> Bytes {
        self.get_with(&self.bucket, at, Get::default()).await.unwrap()
    }

    async fn upload(&self, at: &str) -> UploadId {
        let new = NewUpload { key: key(at), attributes: Attributes::default(), ssec_key_md5: None };
        let id = self.store.upload_create(&self.bucket, new).await.unwrap();
        UploadId { key: key(at), id }
    }

    async fn part(&self, upload: &UploadId, number: i64, bytes: &[u8]) -> NamedPart {
        let body = self.store.receive(&self.bucket, chunked(bytes), Incoming::default()).await.unwrap();
        let number = PartNumber::parse(number).unwrap();
        let part = self.store.part_put(&self.bucket, upload.clone(), number, body).await.unwrap();
        NamedPart { number, etag: part.etag }
    }

    async fn complete(&self, upload: &UploadId, parts: &[&NamedPart]) -> Result<Object, R2Error> {
        let parts = parts.iter().copied().cloned().collect();
        self.store.upload_complete(&self.bucket, upload.clone(), parts, Conditions::default()).await
    }

    /// All files of bodies.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for shard in 0..4 {
            let Ok(folders) = std::fs::read_dir(self.folder.path().join(format!("shard-{shard:02}"))) else {
                continue;
            };
            for folder in folders {
                let files = std::fs::read_dir(folder.unwrap().path()).unwrap();
                found.extend(files.map(|file| file.unwrap().path()));
            }
        }
        found
    }
}

async fn open(folder: &std::path::Path, events: Arc<dyn Events>) -> (Store, Tasks) {
    let (tasks, clock) = (Tasks::new(), Clock::manual(1_800_000_000_000));
    (Store::open(folder, clock, tasks.clone(), events).await.unwrap(), tasks)
}

fn name(text: &str) -> BucketName {
    text.parse().unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes that differ from block to block.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()).collect()
}

/// A body that arrives in chunks that keep to no border.
fn chunked(bytes: &[u8]) -> Body {
    let chunks: Vec<_> = bytes.chunks(300_007).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    Body::from_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn bytes_come_back_whole_and_in_ranges_with_and_without_a_customer_key() {
    let room = Room::new().await;
    for customer_key in [None, Some(CustomerKey::new([7; 32]))] {
        for size in [0, 1, 16 * 1024, 16 * 1024 + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5] {
            let given = bytes(size);
            let put = room.put_with("a", &given, Conditions::default(), customer_key.clone()).await.unwrap();
            assert_eq!(put.etag, hex::encode(Md5::digest(&given)));
            assert_eq!(room.store.head(&room.bucket, &key("a")).unwrap(), put);
            let get = |range| Get { range, customer_key: customer_key.clone(), ..Get::default() };
            let whole = room.get_with(&room.bucket, "a", get(None)).await.unwrap();
            assert!(whole == given, "{size}");
            for (from, length) in [(0, 1), (size / 2, 2 * MIB), (size.saturating_sub(3), 3), (MIB - 1, 2)] {
                let (offset, taken) = (Some(from as u64), Some(length as u64));
                let range = Some(Range::From { offset, length: taken });
                if size < from {
                    continue;
                }
                let part = room.get_with(&room.bucket, "a", get(range)).await.unwrap();
                assert!(part == given[from..size.min(from + length)], "{size}: {from} {length}");
            }
        }
    }
    assert_eq!(room.files().len(), 1, "what was replaced is gone");
    assert!(matches!(room.get_with(&room.bucket, "a", Get::default()).await, Err(R2Error::CustomerKeyWrong)));
    let file = std::fs::read(&room.files()[0]).unwrap();
    let plain = &bytes(3 * MIB + 5)[1000..1064];
    assert!(!file.windows(64).any(|window| window == plain), "the bytes lie encrypted");
}

#[tokio::test]
async fn a_body_with_the_wrong_checksum_or_length_changes_nothing() {
    let room = Room::new().await;
    room.put("a", b"old").await;
    let given = bytes(2 * MIB);
    let wrong = super::Expected { sha256: Some(vec![1; 32]), ..Default::default() };
    for incoming in [
        Incoming { expected: wrong, ..Incoming::default() },
        Incoming { length: Some(1), ..Incoming::default() },
        Incoming { length: Some(u64::MAX), ..Incoming::default() },
    ] {
        assert!(room.store.receive(&room.bucket, chunked(&given), incoming).await.is_err());
    }
    assert_eq!(room.get("a").await, "old");
    // A block that was being written when its body was refused is finished first.
    let gone = async {
        while !room.files().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the files go");
}

#[tokio::test]
async fn conditions_are_decided_where_the_write_is() {
    let room = Room::new().await;
    let too_late = || Conditions {
        etag_does_not_match: Some(vec![Etag { value: String::new(), kind: EtagMatch::Wildcard }]),
        ..Conditions::default()
    };
    let big = bytes(MIB);
    let puts = (0..8).map(|_| room.put_with("a", &big, too_late(), None));
    let outcomes = futures_util::future::join_all(puts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(room.files().len(), 1, "the losers' files are gone");
}

#[tokio::test]
async fn a_reader_of_a_replaced_object_finishes_with_the_old_bytes() {
    let room = Room::new().await;
    let old = bytes(5 * MIB);
    room.put("a", &old).await;
    let upload = room.upload("b").await;
    let (one, two) = (room.part(&upload, 1, &old).await, room.part(&upload, 2, &old[..MIB]).await);
    room.complete(&upload, &[&one, &two]).await.unwrap();
    let start = async |at: &str| {
        let (body, _) = room.store.get(&room.bucket, &key(at), Get::default()).unwrap().body.unwrap();
        body.into_body().await.unwrap()
    };
    let (single, parts) = (start("a").await, start("b").await);
    room.put("a", b"new").await;
    room.put("b", b"new").await;
    assert!(single.collect().await.unwrap().to_bytes() == old);
    assert!(parts.collect().await.unwrap().to_bytes() == [&old[..], &old[..MIB]].concat());
    room.store.sweep().await.unwrap();
    assert_eq!(room.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_upload_becomes_an_object_of_its_parts() {
    let room = Room::new().await;
    let least = usize::try_from(PART_BYTES_MIN).unwrap();
    let (first, last) = (bytes(least), bytes(MIB + 7));
    let upload = room.upload("big").await;
    let lost = room.part(&upload, 2, b"replaced").await;
    let unused = room.part(&upload, 9, b"unused").await;
    let two = room.part(&upload, 2, &first).await;
    let one = room.part(&upload, 1, &first).await;
    let three = room.part(&upload, 3, &last).await;
    assert!(matches!(room.complete(&upload, &[&lost]).await, Err(R2Error::PartMissing)));
    assert!(matches!(room.complete(&upload, &[&unused, &three]).await, Err(R2Error::PartTooSmall)));
    assert!(matches!(room.complete(&upload, &[&one, &one]).await, Err(R2Error::UploadBad)));
    assert!(matches!(room.complete(&upload, &[]).await, Err(R2Error::UploadBad)));
    let (_, listed) = room.store.part_list(&room.bucket, upload.clone(), 1, 2).await.unwrap();
    assert_eq!(listed.iter().map(|part| part.number).collect::<Vec<_>>(), [2, 3]);
    let object = room.complete(&upload, &[&two, &one, &three]).await.unwrap();

    let sums = [Md5::digest(&first), Md5::digest(&first), Md5::digest(&last)].concat();
    assert_eq!(object.etag, format!("{}-3", hex::encode(Md5::digest(sums))));
    let whole = [&first[..], &first, &last].concat();
    assert!(room.get("big").await == whole);
    let range = Some(Range::From { offset: Some(PART_BYTES_MIN - 2), length: Some(4) });
    let border = room.get_with(&room.bucket, "big", Get { range, ..Get::default() }).await.unwrap();
    assert_eq!(border, whole[least - 2..least + 2]);
    assert!(matches!(room.complete(&upload, &[&one]).await, Err(R2Error::UploadMissing)));
    room.store.upload_abort(&room.bucket, upload.clone()).await.unwrap();
    assert!(room.get("big").await == whole, "aborting what was completed takes nothing");
    room.store.delete(&room.bucket, vec![key("big")]).await.unwrap();
    assert!(room.files().is_empty());
}

#[tokio::test]
async fn a_copy_stands_by_itself() {
    let room = Room::new().await;
    room.make("other").await;
    let big = bytes(5 * MIB);
    let upload = room.upload("parts").await;
    let (one, two) = (room.part(&upload, 1, &big).await, room.part(&upload, 2, &big).await);
    room.complete(&upload, &[&one, &two]).await.unwrap();
    room.put("small", b"small").await;
    room.put("file", &big).await;
    for at in ["small", "file", "parts"] {
        let from = CopyFrom {
            bucket: room.bucket.clone(),
            key: key(at),
            conditions: Conditions::default(),
            customer_key: None,
        };
        let to = CopyTo {
            bucket: name("other"),
            key: key(at),
            attributes: None,
            conditions: Conditions::default(),
            customer_key: None,
        };
        let copied = room.store.copy(from.clone(), to.clone()).await.unwrap();
        let source = room.store.head(&room.bucket, &key(at)).unwrap();
        assert_eq!((&copied.etag, &copied.custom), (&source.etag, &source.custom));
        let sealed = CopyTo { key: key("sealed"), customer_key: Some(CustomerKey::new([1; 32])), ..to };
        room.store.copy(from, sealed).await.unwrap();
        let before = room.get(at).await;
        room.store.delete(&room.bucket, vec![key(at)]).await.unwrap();
        let other = name("other");
        assert!(room.get_with(&other, at, Get::default()).await.unwrap() == before);
        let customer_key = Some(CustomerKey::new([1; 32]));
        let get = Get { customer_key, ..Get::default() };
        assert!(room.get_with(&other, "sealed", get).await.unwrap() == before);
    }
}

#[tokio::test]
async fn damage_is_an_error_before_it_is_sent_and_scrub_names_it() {
    let room = Room::new().await;
    room.put("good", &bytes(MIB)).await;
    let whole: BTreeSet<_> = room.files().into_iter().collect();
    room.put("bad", &bytes(2 * MIB)).await;
    let file = room.files().into_iter().find(|file| !whole.contains(file)).unwrap();
    let mut content = std::fs::read(&file).unwrap();
    content[100] ^= 1;
    std::fs::write(&file, &content).unwrap();
    assert!(matches!(
        room.get_with(&room.bucket, "bad", Get::default()).await,
        Err(R2Error::ObjectUnreadable { .. })
    ));
    let range = Some(Range::From { offset: Some(MIB as u64), length: Some(5) });
    let sound = room.get_with(&room.bucket, "bad", Get { range, ..Get::default() }).await.unwrap();
    assert_eq!(sound, bytes(2 * MIB)[MIB..MIB + 5]);
    let found = room.store.scrub(&room.bucket, None).await.unwrap();
    assert_eq!((found.damaged.len(), found.damaged[0].key.as_str(), found.next), (1, "bad", None));
    assert_eq!((found.objects, found.bytes), (2, 3 * MIB as u64));
    std::fs::write(&file, &content[..MIB]).unwrap();
    assert_eq!(room.store.scrub(&room.bucket, None).await.unwrap().damaged.len(), 1, "cut off");
}

#[tokio::test]
async fn a_restart_keeps_what_was_acknowledged_and_removes_what_was_not() {
    let mut room = Room::new().await;
    room.put("a", &bytes(MIB)).await;
    room.put("b", b"small").await;
    let upload = room.upload("c").await;
    let part = room.part(&upload, 1, &bytes(MIB)).await;
    let kept = room.files();
    let body = room.store.receive(&room.bucket, chunked(&bytes(MIB)), Incoming::default()).await.unwrap();
    std::mem::forget(body);
    assert_eq!(room.files().len(), kept.len() + 1, "as after kill -9 between file and row");
    room = room.restart().await;
    assert_eq!(room.store.collect_orphans().await.unwrap(), 1);
    assert_eq!(room.files(), kept);
    assert!(room.get("a").await == bytes(MIB));
    assert_eq!(room.get("b").await, "small");
    room.complete(&upload, &[&part]).await.unwrap();
    assert!(room.get("c").await == bytes(MIB));
}

#[tokio::test]
async fn a_put_whose_caller_went_away_is_whole_or_absent() {
    let room = Room::new().await;
    let given = bytes(2 * MIB);
    for round in 0..20 {
        let put = room.put_with("a", &given, Conditions::default(), None);
        let _ = tokio::time::timeout(Duration::from_millis(round), put).await;
    }
    let found = room.get_with(&room.bucket, "a", Get::default()).await;
    assert!(
        found.as_ref().map_or_else(|error| matches!(error, R2Error::KeyMissing), |found| *found == given)
    );
    assert!(room.tasks.stop(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_bucket_is_made_once_and_deleted_empty() {
    let room = Room::new().await;
    for bucket in ["abc", "xyz", "aaa"] {
        room.make(bucket).await;
    }
    let listed = room.store.bucket_list(None, "", "aaa", 2).await.unwrap();
    assert_eq!(listed.iter().map(|bucket| bucket.name.as_str()).collect::<Vec<_>>(), ["abc", "bucket"]);
    room.put("a", b"a").await;
    let upload = room.upload("u").await;
    room.part(&upload, 1, &bytes(MIB)).await;
    assert!(matches!(room.store.bucket_delete(&room.bucket).await, Err(R2Error::BucketNotEmpty)));
    room.store.delete(&room.bucket, vec![key("a"), key("none")]).await.unwrap();
    room.store.bucket_delete(&room.bucket).await.unwrap();
    assert!(room.files().is_empty());
    assert!(matches!(room.store.bucket_delete(&room.bucket).await, Err(R2Error::BucketMissing)));
    assert!(matches!(room.store.head(&room.bucket, &key("a")), Err(R2Error::BucketMissing)));
}

/// What a list yields, by definition: every key, folded, once.
fn naive(keys: &BTreeSet<String>, prefix: &str, delimiter: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let folded = rest.find(delimiter).filter(|_| !delimiter.is_empty());
        let line = folded.map_or(key.as_str(), |at| &key[..prefix.len() + at + delimiter.len()]);
        let line = if folded.is_some() { format!("p:{line}") } else { format!("k:{line}") };
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pages_add_up_to_all_keys_folded(
        keys in proptest::collection::btree_set("[ab/ü\u{0}]{1,5}", 0..30),
        prefix in "[ab/]{0,2}",
        delimiter in prop_oneof![Just(""), Just("/"), Just("a/"), Just("ü")],
        limit in 1i64..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let room = Room::new().await;
            futures_util::future::join_all(keys.iter().map(|at| room.put(at, b"v"))).await;
            let mut lines = Vec::new();
            let mut after = Vec::new();
            loop {
                let query = ListQuery::new(prefix.as_str()).with_delimiter(Some(delimiter.to_owned()));
                let mut query = query.with_limit(limit).unwrap();
                query.after = after;
                let page = room.store.list(&room.bucket, query).await.unwrap();
                assert!(page.entries.len() <= usize::try_from(limit).unwrap());
                after = page.entries.last().map(Listed::place).into_iter().collect();
                lines.extend(page.entries.iter().map(|entry| match entry {
                    Listed::Object(object) => format!("k:{}", object.key),
                    Listed::Prefix(prefix) => format!("p:{prefix}"),
                }));
                if !page.is_truncated {
                    break;
                }
            }
            assert_eq!(lines, naive(&keys, &prefix, delimiter));
        });
    }
}

const DAY_S: u64 = 24 * 60 * 60;

impl Room {
    /// Writes rules as the API does, and applies them now.
    async fn apply(&self, rules: serde_json::Value) -> Vec<(String, Done)> {
        let lifecycle: Lifecycle = serde_json::from_value(serde_json::json!({ "rules": rules })).unwrap();
        let lifecycle = lifecycle.check().unwrap();
        self.store.setting_put(&self.bucket, Setting::Lifecycle, &lifecycle).await.unwrap();
        self.sweep().await
    }

    async fn sweep(&self) -> Vec<(String, Done)> {
        let mut told = Vec::new();
        let tell = |_: &BucketName, rule: &str, done| told.push((rule.to_owned(), done));
        self.store.apply_lifecycles(tell).await.unwrap();
        told
    }

    async fn keys(&self) -> Vec<String> {
        let page = self.store.list(&self.bucket, ListQuery::new("")).await.unwrap();
        let key = |entry| match entry {
            Listed::Object(object) => object.key,
            Listed::Prefix(prefix) => prefix,
        };
        page.entries.into_iter().map(key).collect()
    }
}

#[tokio::test]
async fn lifecycle_rules_come_true_at_their_second_and_for_their_prefix_alone() {
    let room = Room::new().await;
    for at in ["logs/a", "logs/large", "logz", "other"] {
        room.put(at, &bytes(if at == "logs/large" { MIB } else { 10 })).await;
    }
    let age = |seconds: u64| serde_json::json!({"type": "Age", "maxAge": seconds});
    let rule = |enabled: bool| {
        let transition = serde_json::json!({"condition": age(DAY_S)});
        serde_json::json!([{
            "id": "expire", "enabled": enabled, "conditions": {"prefix": "logs/"}, "deleteObjectsTransition": transition,
        }])
    };
    room.store.clock.advance(Duration::from_secs(DAY_S - 1));
    assert_eq!(room.apply(rule(true)).await, [], "a second too early");
    room.store.clock.advance(Duration::from_secs(1));
    assert_eq!(room.apply(rule(false)).await, [], "disabled");
    let deleted = Done { deleted: 2, ..Done::default() };
    assert_eq!(room.apply(rule(true)).await, [("expire".to_owned(), deleted)]);
    assert_eq!(room.keys().await, ["logz", "other"]);
    assert!(room.files().is_empty(), "the file went with its object");
    assert_eq!(room.sweep().await, [], "nothing is done twice");

    let moved = serde_json::json!([{"id": "move", "storageClassTransitions": [
        {"condition": {"type": "Date", "date": "2027-01-17T00:00:00Z"}, "storageClass": "InfrequentAccess"},
    ]}]);
    assert_eq!(room.apply(moved).await, [], "the clock stands on 16 January");
    room.store.clock.advance(Duration::from_secs(DAY_S));
    let done = Done { moved: 2, ..Done::default() };
    assert_eq!(room.sweep().await, [("move".to_owned(), done)]);
    let class = room.store.head(&room.bucket, &key("other")).unwrap().storage_class;
    assert_eq!(class, StorageClass::InfrequentAccess);
    assert_eq!(room.sweep().await, []);

    room.store.delete(&room.bucket, vec![key("logz"), key("other")]).await.unwrap();
    room.store.bucket_delete(&room.bucket).await.unwrap();
    assert_eq!(room.sweep().await, [], "a bucket's rules go with it");
    room.make("bucket").await;
    room.put("other", b"v").await;
    assert_eq!(room.sweep().await, [], "and do not come back");
}

#[tokio::test]
async fn more_objects_than_a_transaction_takes_expire_in_one_round() {
    let room = Room::new().await;
    futures_util::future::join_all((0..501).map(|at| {
        let room = &room;
        async move { room.put(&format!("{at}"), b"v").await }
    }))
    .await;
    let transition = serde_json::json!({"condition": {"type": "Age", "maxAge": 0}});
    let done = Done { deleted: 501, ..Done::default() };
    let rules = serde_json::json!([{"id": "all", "deleteObjectsTransition": transition}]);
    assert_eq!(room.apply(rules).await, [("all".to_owned(), done)]);
    assert_eq!(room.keys().await, [""; 0]);
}

#[tokio::test]
async fn without_rules_an_upload_that_nobody_completes_ends_after_seven_days() {
    let room = Room::new().await;
    let upload = room.upload("a").await;
    let part = room.part(&upload, 1, &bytes(MIB)).await;
    room.store.clock.advance(Duration::from_secs(7 * DAY_S - 1));
    assert_eq!(room.sweep().await, []);
    assert_eq!(room.files().len(), 1);
    room.store.clock.advance(Duration::from_secs(1));
    let done = Done { aborted: 1, ..Done::default() };
    assert_eq!(room.sweep().await, [("Default Multipart Abort Rule".to_owned(), done)]);
    assert!(room.files().is_empty(), "its parts are gone");
    assert!(room.complete(&upload, &[&part]).await.is_err());
}

#[tokio::test]
async fn a_finished_upload_is_remembered_for_a_day() {
    let room = Room::new().await;
    let upload = room.upload("a").await;
    let part = room.part(&upload, 1, b"part").await;
    room.complete(&upload, &[&part]).await.unwrap();
    let abort = async || room.store.upload_abort(&room.bucket, upload.clone()).await;
    for (advance, is_known) in [(DAY_S - 1, true), (2, false)] {
        room.store.clock.advance(Duration::from_secs(advance));
        room.store.sweep().await.unwrap();
        assert_eq!(abort().await.is_ok(), is_known);
    }
    assert_eq!(room.get("a").await.as_ref(), b"part");
}

/// Keeps events as lines in the shard's own file, and then refuses those of one key.
#[derive(Debug)]
struct Lines;

const REFUSED: &str = "refused";

impl Events for Lines {
    fn keep(&self, connection: &Connection, event: &Event<'_>) -> Result<(), R2Error> {
        let (key, line) = match event {
            Event::ObjectCreate { bucket, object, action } => {
                let Object { key, size, etag, uploaded_ms, .. } = object;
                let (name, source) = match action {
                    Creation::PutObject => ("PutObject", String::new()),
                    Creation::CopyObject { source: (bucket, key) } => {
                        ("CopyObject", format!("{bucket}/{key}"))
                    }
                    Creation::CompleteMultipartUpload => ("CompleteMultipartUpload", String::new()),
                };
                (key.as_str(), format!("{name} {bucket}/{key} {size} {etag} {uploaded_ms} {source}"))
            }
            Event::ObjectDelete { bucket, key, time_ms, action } => {
                (*key, format!("{action:?} {bucket}/{key} {time_ms}"))
            }
        };
        connection.execute_batch("CREATE TABLE IF NOT EXISTS line (text TEXT NOT NULL) STRICT")?;
        connection.execute("INSERT INTO line (text) VALUES (?1)", [line.trim()])?;
        if key == REFUSED { Err(R2Error::KeyInvalid) } else { Ok(()) }
    }
}

impl Room {
    /// What was kept since the last call.
    async fn lines(&self) -> Vec<String> {
        let take = |connection: &Connection| -> Result<Vec<String>, R2Error> {
            let mut delete = connection.prepare("DELETE FROM line RETURNING text")?;
            Ok(delete.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        self.store.shard(&self.bucket).unwrap().database.write(take).await.unwrap()
    }

    async fn copy(&self, from: &str, to: &str, customer_key: Option<CustomerKey>) {
        let conditions = Conditions::default;
        let from =
            CopyFrom { bucket: name("bucket"), key: key(from), conditions: conditions(), customer_key: None };
        let to = CopyTo {
            bucket: name("bucket"),
            key: key(to),
            attributes: None,
            conditions: conditions(),
            customer_key,
        };
        self.store.copy(from, to).await.unwrap();
    }
}

#[tokio::test]
async fn each_change_of_an_object_is_kept_once_in_its_own_commit() {
    let room = Room::telling(Arc::new(Lines)).await;
    let (at, small) = ("1800000000000", hex::encode(Md5::digest(b"v")));
    room.put("a", b"v").await;
    room.put("a", b"v").await;
    let put = format!("PutObject bucket/a 1 {small} {at}");
    assert_eq!(room.lines().await, [put.clone(), put], "what is overwritten is not deleted");

    room.copy("a", "linked", None).await;
    room.copy("a", "sealed", Some(CustomerKey::new([1; 32]))).await;
    let copied = |to| format!("CopyObject bucket/{to} 1 {small} {at} bucket/a");
    assert_eq!(room.lines().await, [copied("linked"), copied("sealed")]);

    let upload = room.upload("parts").await;
    let part = room.part(&upload, 1, b"v").await;
    assert_eq!(room.lines().await, [""; 0], "there is no object yet");
    let object = room.complete(&upload, &[&part]).await.unwrap();
    let completed = format!("CompleteMultipartUpload bucket/parts 1 {} {at}", object.etag);
    assert_eq!(room.lines().await, [completed]);

    room.store.clock.advance(Duration::from_millis(1));
    room.store.delete(&room.bucket, vec![key("a"), key("none")]).await.unwrap();
    assert_eq!(
        room.lines().await,
        ["DeleteObject bucket/a 1800000000001"],
        "and nothing of what was not there"
    );
    let transition = serde_json::json!({"condition": {"type": "Age", "maxAge": 0}});
    room.apply(serde_json::json!([{"id": "all", "deleteObjectsTransition": transition}])).await;
    let expired =
        ["linked", "parts", "sealed"].map(|key| format!("LifecycleDeletion bucket/{key} 1800000000001"));
    assert_eq!(room.lines().await, expired);
}

#[tokio::test]
async fn nothing_is_kept_of_a_change_that_is_undone_nor_changed_when_it_cannot_be_kept() {
    let room = Room::telling(Arc::new(Lines)).await;
    room.put("a", b"v").await;
    assert_eq!(room.lines().await.len(), 1);
    let too_late = Conditions { uploaded_before_ms: Some(0), ..Conditions::default() };
    let unmet = room.put_with("a", b"w", too_late, None).await;
    assert!(matches!(unmet, Err(R2Error::PreconditionFailed)));
    let unkept = room.put_with(REFUSED, &bytes(MIB), Conditions::default(), None).await;
    assert!(matches!(unkept, Err(R2Error::KeyInvalid)));
    assert_eq!((room.lines().await, room.keys().await), (vec![], vec!["a".to_owned()]));
    assert!(room.files().is_empty(), "nor does the body stay");
}
