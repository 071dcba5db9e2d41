//! A plain get is answered on a path of its own. These tests ask everything twice: as it is, and with one more header, which
//! means nothing to S3 and only makes the request less than plain. Both answers must be one.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Request, request::Parts},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use crate::{
    MIB, bytes,
    s3::{Call, Door, UNSIGNED, escape},
};

/// `if-…`, as all headers with conditions; no condition has this name.
const NOT_PLAIN: HeaderName = HeaderName::from_static("if-nobody-knows-it");

/// Asks on both paths; the status, after asserting that the answers are one.
async fn ask(door: &Door, parts: &Parts) -> u16 {
    let mut other = parts.clone();
    other.headers.insert(NOT_PLAIN, HeaderValue::from_static("1"));
    let one = door.send(Request::from_parts(parts.clone(), Body::empty())).await;
    let other = door.send(Request::from_parts(other, Body::empty())).await;
    assert_eq!((one.status, &one.headers), (other.status, &other.headers), "{parts:?}");
    assert!(one.body == other.body && one.is_broken == other.is_broken, "{parts:?}");
    one.status.as_u16()
}

fn parts(request: Request<Body>) -> Parts {
    request.into_parts().0
}

/// A request for a key in the forms that clients give it.
fn forms(key: &str) -> [Parts; 6] {
    let path = format!("/bucket/{}", escape(key, b"/"));
    let get = |query: &str| Call::new("GET", &path, b"").query(query).by("reader");
    let presigned = |query: &str| parts(get(query).presign().body(Body::empty()).unwrap());
    [
        parts(get("").send("")),
        parts(get("x-id=GetObject").hashed(UNSIGNED).with("x-amz-checksum-mode", "ENABLED").send("")),
        presigned(""),
        presigned("X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&x-amz-checksum-mode=ENABLED&x-id=GetObject"),
        presigned("response-content-type=text%2Fplain"),
        presigned("uploadId=1"),
    ]
}

#[tokio::test]
async fn whatever_is_signed_is_answered_alike() {
    let door = Door::new().await;
    let get = || Call::new("GET", "/bucket/key", b"").by("reader");
    let calls: [(&str, u16, &dyn Fn() -> Call); 10] = [
        ("plain", 200, &get),
        ("no region", 200, &|| get().of_region("")),
        ("another region", 200, &|| get().of_region("eu-central-1")),
        ("no region of anybody's", 400, &|| get().of_region("WNAM")),
        ("a region of two", 400, &|| get().of_region("a%2Fb")),
        ("a day that is not the time's", 403, &|| get().of_day("20130524")),
        ("a header more", 200, &|| get().with("accept", "*/*").with("x-amz-user-agent", "a")),
        ("a name as it is not sent", 403, &|| get().with("Accept", "*/*")),
        ("a header that is empty", 200, &|| get().with("accept", "")),
        ("more than one space", 403, &|| get().with("accept", "a  b")),
    ];
    for (what, expected, call) in calls {
        let presigned = parts(call().presign().body(Body::empty()).unwrap());
        for form in [parts(call().send("")), presigned] {
            let status = ask(&door, &form).await;
            assert!(status == expected, "{what} {status} {form:?}");
        }
    }
    // An address is no name below a domain, whatever the domain.
    for host in ["127.0.0.1", "[::1]:80", "bucket.localhost.", "bucket.s3.localhost:1", "a.bucket.localhost"]
    {
        let mut form = parts(get().send(""));
        form.headers.insert("host", HeaderValue::from_str(host).unwrap());
        assert_eq!(ask(&door, &form).await, 403, "{host}");
    }
}

#[tokio::test]
async fn every_object_is_told_alike() {
    let door = Door::new().await;
    let http = json!({
        "contentType": "text/plain; charset=utf-8", "contentLanguage": "de", "contentEncoding": "gzip",
        "contentDisposition": "attachment; filename=\"ü\"", "cacheControl": "no-store",
        "cacheExpiry": 1_792_567_680_000_u64,
    });
    let unsendable = json!({"contentType": "a\nb", "cacheControl": "a\u{7f}", "cacheExpiry": u64::MAX / 2});
    let objects = [
        ("empty", 0, json!({}), &[][..]),
        ("k/ü &+%?=.txt", 1024, http.clone(), &[("said", "this"), ("Other", "a  b")]),
        ("/leading//slashes/", 20 * 1024, http, &[]),
        ("several blocks", 3 * MIB, json!({}), &[]),
        ("unsendable", 1, unsendable, &[("a b", "lost"), ("kept", "line\nbreak"), ("ü", "lost")]),
        ("encoded", 1, json!({}), &[("name", "ü"), ("tab", "a\tb")]),
        ("edges", 1, json!({}), &[("name", " spaces "), ("nothing", "")]),
        ("nameless", 1, json!({}), &[("", "lost")]),
        ("of two cases", 1, json!({}), &[("name", "one"), ("Name", "other")]),
        ("..", 1, json!({}), &[]),
    ];
    for (key, size, http, custom) in objects {
        let custom: Vec<_> = custom.iter().map(|(name, value)| json!({"k": name, "v": value})).collect();
        let put = json!({"method": "put", "object": key, "httpFields": http, "customFields": custom});
        assert_eq!(door.room.call(&put, &bytes(size)).await.code(), None, "{key}");
        for (form, expected) in forms(key).iter().zip([200, 200, 200, 200, 200, 404]) {
            assert_eq!(ask(&door, form).await, expected, "{key} {form:?}");
        }
    }
    for (key, expected) in [("missing", 404), ("", 400), ("k", 404), (&"k".repeat(1025), 400)] {
        for form in &forms(key)[..4] {
            let status = ask(&door, form).await;
            assert!(status == expected || key.is_empty(), "{key} {status}");
        }
    }
    let lost = door.send(Request::from_parts(forms("unsendable")[0].clone(), Body::empty())).await;
    assert_eq!(
        (&lost.headers["x-amz-missing-meta"], &lost.headers["content-type"]),
        (&HeaderValue::from_static("2"), &HeaderValue::from_static("application/octet-stream"))
    );
}

/// How a request is changed behind its signer's back.
#[derive(Debug, Clone)]
enum Change {
    /// A byte of the address.
    Address(prop::sample::Index, u8),
    /// A byte of a header's value.
    Value(prop::sample::Index, prop::sample::Index, u8),
    Removed(prop::sample::Index),
    Added(&'static str, &'static str),
    /// A parameter more, in front of the others or behind them.
    Parameter(bool, &'static str),
    Method(&'static str),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let index = any::<prop::sample::Index>;
        let added = prop::sample::select(vec![
            ("range", "bytes=0-1"),
            ("if-none-match", "*"),
            ("x-amz-acl", "private"),
            ("x-amz-checksum-mode", "ENABLED"),
            ("x-amz-content-sha256", UNSIGNED),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-security-token", "a"),
            ("host", "other.localhost"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20130524/auto/s3/aws4_request, SignedHeaders=host, Signature=a",
            ),
            ("user-agent", "a"),
            ("content-length", "0"),
        ]);
        let parameter = prop::sample::select(vec![
            "x-id=GetObject",
            "X-Amz-Expires=1",
            "X-Amz-Signature=a",
            "X-Amz-SignedHeaders=host",
            "acl=",
            "acl",
            "&",
            "X-Amz-Date=20130524T000000Z",
            "versionId=1",
            "partNumber=1",
            "Signature=a",
            "%58-Amz-Expires=1",
        ]);
        prop_oneof![
            4 => (index(), any::<u8>()).prop_map(|(at, byte)| Self::Address(at, byte)),
            4 => (index(), index(), any::<u8>()).prop_map(|(at, of, byte)| Self::Value(at, of, byte)),
            1 => index().prop_map(Self::Removed),
            2 => added.prop_map(|(name, value)| Self::Added(name, value)),
            2 => (any::<bool>(), parameter).prop_map(|(is_first, pair)| Self::Parameter(is_first, pair)),
            1 => prop::sample::select(vec!["HEAD", "PUT", "DELETE", "POST"]).prop_map(Self::Method),
        ]
    }

    /// Changes a request; `None` if none comes of it.
    fn apply(&self, parts: &mut Parts) -> Option<()> {
        let uri = parts.uri.to_string();
        match self {
            Self::Address(at, byte) => {
                let mut uri = uri.into_bytes();
                let at = at.index(uri.len());
                uri[at] = *byte;
                parts.uri = String::from_utf8(uri).ok()?.parse().ok()?;
            }
            Self::Value(at, of, byte) => {
                let mut values: Vec<_> =
                    parts.headers.values_mut().filter(|value| !value.is_empty()).collect();
                let at = (!values.is_empty()).then(|| at.index(values.len()))?;
                let value = &mut values[at];
                let mut changed = value.as_bytes().to_vec();
                changed[of.index(value.len())] = *byte;
                **value = HeaderValue::from_bytes(&changed).ok()?;
            }
            Self::Removed(at) => {
                let names: Vec<_> = parts.headers.keys().cloned().collect();
                parts.headers.remove(names.get(at.index(names.len() + 1))?);
            }
            Self::Added(name, value) => {
                parts.headers.append(*name, HeaderValue::from_static(value));
            }
            Self::Parameter(is_first, pair) => {
                let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
                let query = if *is_first { format!("{pair}&{query}") } else { format!("{query}&{pair}") };
                parts.uri = format!("{path}?{query}").parse().ok()?;
            }
            Self::Method(method) => parts.method = method.parse().ok()?,
        }
        Some(())
    }
}

#[test]
fn whatever_is_changed_behind_the_signers_back_is_answered_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let door = runtime.block_on(Door::new());
    let forms = [forms("key"), forms("missing")].concat();
    let mut runner = TestRunner::new(Config { cases: 5000, failure_persistence: None, ..Config::default() });
    let changes = (any::<prop::sample::Index>(), vec(Change::any(), 0..3));
    let outcome = runner.run(&changes, |(form, changes)| {
        let mut parts = form.get(&forms).clone();
        // What a request may do that does more than read, other tests say.
        if !changes.iter().all(|change| change.apply(&mut parts).is_some()) || !parts.method.is_safe() {
            return Ok(());
        }
        let status = runtime.block_on(ask(&door, &parts));
        prop_assert!(status < 500 || status == 501, "{changes:?} {parts:?}");
        Ok(())
    });
    outcome.unwrap();
}
