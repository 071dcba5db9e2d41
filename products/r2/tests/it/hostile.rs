//! Anything that could arrive at the binding's wire: each request is answered, as a success or as its sender's mistake in
//! R2's codes, and touches nothing but the key that it names and nothing outside the room's folder.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use futures_util::stream;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{Room, entries};

/// A key that no generated request names.
const BYSTANDER: &str = "bystander-key";

/// Every code with which R2 says that its caller is mistaken (Cloudflare: R2 error codes).
const CODES: [u64; 18] = [
    10_003, 10_005, 10_006, 10_007, 10_011, 10_012, 10_013, 10_014, 10_020, 10_022, 10_024, 10_025, 10_029,
    10_031, 10_037, 10_039, 10_048, 100_100,
];

#[derive(Debug, Clone)]
struct Wire {
    is_get: bool,
    text: Vec<u8>,
    size: Vec<u8>,
    length: Option<usize>,
    value: Vec<u8>,
    chunk: usize,
}

impl Wire {
    /// `None` where no HTTP library would let it pass.
    fn request(&self) -> Option<Request<Body>> {
        if self.is_get {
            return Request::get("/").header("cf-r2-request", &self.text[..]).body(Body::empty()).ok();
        }
        let mut request = Request::put("/").header("cf-r2-metadata-size", &self.size[..]);
        if let Some(length) = self.length {
            request = request.header("content-length", length);
        }
        let body = [&self.text[..], &self.value].concat();
        let chunks: Vec<_> =
            body.chunks(self.chunk).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
        request.body(Body::from_stream(stream::iter(chunks))).ok()
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c/.]{0,6}",
        "\\PC{0,8}",
        prop::sample::select(vec![
            "",
            ".",
            "..",
            "../../../x",
            "/etc/x",
            "a\u{0}b",
            "a\nb",
            "//",
            "%2e%2e%2f"
        ])
        .prop_map(str::to_owned),
        (1020..1028_usize).prop_map(|length| "k".repeat(length)),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2i64..10_003).prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number.to_string())),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!("x")),
        Just(Value::Null),
    ]
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        number(),
        key().prop_map(Value::from),
        "[0-9a-f\"*]{0,70}".prop_map(Value::from),
        (number(), number(), number())
            .prop_map(|(offset, length, suffix)| json!({"offset": offset, "length": length, "suffix": suffix})),
        prop::collection::vec((key(), key()), 0..3)
            .prop_map(|pairs| pairs.into_iter().map(|(k, v)| json!({"k": k, "v": v})).collect()),
        (key(), prop::sample::select(vec!["strong", "weak", "wildcard", "x"]), number()).prop_map(
            |(value, kind, time)| {
                let etag = json!([{"type": kind, "value": value}]);
                json!({"etagMatches": etag, "etagDoesNotMatch": etag, "uploadedBefore": time, "secondsGranularity": true})
            }
        ),
        (key(), number()).prop_map(|(etag, part)| json!([{"etag": etag, "part": part}])),
        (key(), number()).prop_map(|(text, moment)| json!({"contentType": text, "cacheExpiry": moment})),
    ]
}

fn call() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "head",
        "get",
        "put",
        "list",
        "delete",
        "createMultipartUpload",
        "uploadPart",
        "completeMultipartUpload",
        "abortMultipartUpload",
        "copy",
    ]);
    let member = prop::sample::select(vec![
        "range",
        "rangeHeader",
        "onlyIf",
        "ssec",
        "customFields",
        "httpFields",
        "md5",
        "sha1",
        "sha256",
        "sha384",
        "sha512",
        "storageClass",
        "limit",
        "prefix",
        "cursor",
        "delimiter",
        "startAfter",
        "include",
        "uploadId",
        "partNumber",
        "parts",
        "objects",
    ]);
    let well = (method, key(), prop::collection::vec((member, odd()), 0..5)).prop_map(|(method, key, members)| {
        let mut call = json!({"version": 1, "method": method, "object": key, "uploadId": "x", "partNumber": 1, "parts": []});
        for (name, value) in members {
            call[name] = value;
        }
        call.to_string().into_bytes()
    });
    prop_oneof![
        8 => well,
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => "[{\\[\"a-z:,\\]}0-9]{0,40}".prop_map(String::into_bytes),
    ]
}

fn wire() -> impl Strategy<Value = Wire> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let lie = prop_oneof![
        6 => Just(None),
        1 => (0..200_usize).prop_map(|size| Some(size.to_string().into_bytes())),
        1 => any::<i128>().prop_map(|size| Some(size.to_string().into_bytes())),
        1 => prop::collection::vec(32..127u8, 0..8).prop_map(Some),
    ];
    let length = prop::option::of(0..300_usize);
    (any::<bool>(), call(), lie, length, value, 1..64_usize).prop_map(
        |(is_get, text, lie, length, value, chunk)| {
            let size = lie.unwrap_or_else(|| text.len().to_string().into_bytes());
            Wire { is_get, text, size, length, value, chunk }
        },
    )
}

#[test]
fn any_request_is_answered_in_r2s_codes_and_touches_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let room = runtime.block_on(Room::new());
    assert_eq!(runtime.block_on(room.put(BYSTANDER, b"untouched")).code(), None);
    let around = entries(room.folder.path());
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&wire(), |wire| {
        let Some(request) = wire.request() else { return Ok(()) };
        let answer = runtime.block_on(room.binding(request));
        if !answer.status.is_success() {
            prop_assert!(answer.status.is_client_error(), "{answer:?}");
            prop_assert!(answer.code().is_some_and(|code| CODES.contains(&code)), "{answer:?}");
        }
        let bystander = runtime.block_on(room.get(BYSTANDER));
        prop_assert_eq!(bystander.value(), b"untouched");
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(entries(room.folder.path()), around);
}

#[tokio::test]
async fn any_text_of_1_to_1024_bytes_is_a_key_at_both_doors() {
    let room = Room::new().await;
    let around = entries(room.folder.path());
    let longest = "k".repeat(1024);
    for key in [
        "..",
        ".",
        "../../../escape",
        "/",
        "//",
        "a//b",
        "/a",
        "a\nb",
        "a\u{0}b",
        "ü\u{1f600}",
        "%2F",
        &longest,
    ] {
        let value = format!("value of {key}");
        assert_eq!(room.put(key, value.as_bytes()).await.code(), None, "{key:?}");
        assert_eq!(room.get(key).await.value(), value.as_bytes(), "{key:?}");
        let escaped: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let read = room.rest("GET", &format!("/bucket/objects/{escaped}"), &[], "").await;
        assert_eq!(read.body, value, "{key:?}");
    }
    for key in ["", &"k".repeat(1025), &"ü".repeat(513)] {
        assert_eq!(room.put(key, b"").await.code(), Some(10_020));
        assert_eq!(room.get(key).await.code(), Some(10_020));
        assert_eq!(room.delete(key).await.code(), Some(10_020));
    }
    assert_eq!(entries(room.folder.path()), around);
}

#[tokio::test]
async fn numbers_out_of_bounds_are_refused() {
    let room = Room::new().await;
    assert_eq!(room.put("a", b"0123456789").await.code(), None);
    for range in [
        json!({"offset": "11"}),
        json!({"offset": -1}),
        json!({"length": "-5"}),
        json!({"suffix": "-1"}),
        json!({"suffix": 0}),
    ] {
        let got = room.ask(&json!({"method": "get", "object": "a", "range": range})).await;
        assert_eq!(got.code(), Some(10_039), "{range}");
    }
    let huge = i64::MAX.to_string();
    for (range, bytes) in [
        (json!({"offset": 8, "length": huge}), "89"),
        (json!({"suffix": huge}), "0123456789"),
        (json!({"length": huge}), "0123456789"),
    ] {
        let got = room.ask(&json!({"method": "get", "object": "a", "range": range})).await;
        assert_eq!(got.value(), bytes.as_bytes(), "{range}");
    }
    let upload = room.call(&json!({"method": "createMultipartUpload", "object": "a"}), b"").await.described();
    for number in [0, -1, 10_001, i64::MAX] {
        let call = json!({"method": "uploadPart", "object": "a", "uploadId": upload["uploadId"], "partNumber": number});
        assert_eq!(room.call(&call, b"v").await.code(), Some(10_029), "{number}");
    }
    for limit in [0, -1, 1001, i64::MAX] {
        let list = room.ask(&json!({"method": "list", "limit": limit})).await;
        assert_eq!(list.code(), Some(10_022), "{limit}");
    }
    for cursor in ["", "x", "!!!!", "a2Fi/", "/w"] {
        let list = room.ask(&json!({"method": "list", "cursor": cursor})).await;
        assert_eq!(list.code(), Some(10_029), "{cursor}");
    }
    let many: Vec<_> = (0..1001).map(|number| number.to_string()).collect();
    assert_eq!(room.call(&json!({"method": "delete", "objects": many}), b"").await.code(), Some(10_029));
}

#[tokio::test]
async fn a_body_that_stalls_holds_up_nobody_and_leaves_nothing() {
    let room = Room::new().await;
    let call = json!({"method": "put", "object": "a"}).to_string();
    let start = Bytes::from([call.as_bytes(), &crate::bytes(3 * crate::MIB)].concat());
    let stalls = stream::iter([Ok::<_, Infallible>(start)]);
    let body = Body::from_stream(futures_util::StreamExt::chain(stalls, stream::pending()));
    let request = Request::put("/").header("cf-r2-metadata-size", call.len()).body(body).unwrap();
    let mut stalled = Box::pin(room.binding(request));
    let began = async {
        while room.files().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = &mut stalled => panic!("the body has not ended"),
        () = began => {}
    }
    assert_eq!(room.put("a", b"other").await.code(), None);
    drop(stalled);
    let gone = async {
        while !room.files().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("its file goes with it");
    assert_eq!(room.get("a").await.value(), b"other");
}
