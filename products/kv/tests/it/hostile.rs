//! Anything that could arrive at the binding's wire and at the forms of the v4 API: each request is answered, as a success
//! or as its sender's mistake, and touches nothing but the key that it names.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri},
};
use bytes::Bytes;
use futures_util::stream;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{Answer, Room};

/// A key that no generated request names; nothing may change it.
const BYSTANDER: &str = "/bystander-key";

#[derive(Debug, Clone)]
struct Wire {
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    chunk: usize,
}

impl Wire {
    /// `None` where no HTTP library would let it pass.
    fn request(&self) -> Option<Request<Body>> {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let uri: Uri = format!("/{}{query}", self.path).parse().ok()?;
        let mut request =
            Request::builder().method(Method::from_bytes(self.method.as_bytes()).ok()?).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
        }
        let chunks: Vec<_> = self
            .body
            .chunks(self.chunk)
            .map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk)))
            .collect();
        request.body(Body::from_stream(stream::iter(chunks))).ok()
    }
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("bulk/get".to_owned()),
        "[a-z/%.\\-_0-9A-F]{0,12}",
        "(%[0-9a-fA-F]{2}|[a-z/.]){0,20}",
        "[!-~&&[^?#]]{0,40}",
        (500..530_usize).prop_map(|length| "k".repeat(length)),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "urlencoded",
        "cache_ttl",
        "expiration",
        "expiration_ttl",
        "key_count_limit",
        "prefix",
        "cursor",
        "x",
    ]);
    let value = prop_oneof![
        Just("true".to_owned()),
        any::<i128>().prop_map(|number| number.to_string()),
        (0..100_000_u64).prop_map(|number| number.to_string()),
        "[a-zA-Z0-9%+_\\-]{0,30}",
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[{][\"a-z:,\\[\\]{}0-9 ]{0,60}".prop_map(String::into_bytes),
        (
            prop::collection::vec("[a-zü.\\\\u0-9]{0,6}", 0..103),
            "(text|json|stream|)",
            any::<bool>(),
            "[0-9a-z]{0,4}"
        )
            .prop_map(|(keys, kind, with_metadata, cache_ttl)| {
                serde_json::json!({
                    "keys": keys, "type": kind, "withMetadata": with_metadata, "cacheTtl": cache_ttl,
                })
                .to_string()
                .into_bytes()
            }),
    ]
}

fn wire() -> impl Strategy<Value = Wire> {
    let method = prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "PURGE"]);
    let header = (
        prop::sample::select(vec!["cf-kv-metadata", "content-length", "content-type", "cf-kv-flprod-405"]),
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[{\\[\"a-z0-9:,\\]}]{0,30}".prop_map(String::into_bytes)
        ],
    );
    (method, path(), prop::option::of(query()), prop::collection::vec(header, 0..3), body(), 1..64_usize)
        .prop_map(|(method, path, query, headers, body, chunk)| Wire {
            method,
            path,
            query,
            headers,
            body,
            chunk,
        })
}

fn run<S: Strategy>(strategy: &S, cases: u32, mut check: impl FnMut(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    // The closure must not be called from two threads; it is not.
    let check = std::cell::RefCell::new(&mut check);
    runner.run(strategy, |value| (check.borrow_mut())(value)).unwrap();
}

fn is_answered_well(answer: &Answer) -> bool {
    let is_expected = answer.status.is_success() || answer.status.is_client_error();
    // workerd shows user code the reason phrase: a refusal without one would say nothing.
    is_expected
        && (answer.status.is_success() || answer.reason.as_deref().is_some_and(|text| !text.is_empty()))
}

#[test]
fn any_request_on_the_bindings_wire_is_answered_and_touches_no_other_key() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let room = runtime.block_on(Room::new());
    assert_eq!(runtime.block_on(room.put(BYSTANDER, "untouched")).status, 200);
    run(&wire(), 600, |wire| {
        let Some(request) = wire.request() else { return Ok(()) };
        let answer = runtime.block_on(room.binding(request));
        prop_assert!(is_answered_well(&answer), "{answer:?}");
        let bystander = runtime.block_on(room.get(BYSTANDER));
        prop_assert_eq!(bystander.text(), "untouched");
        Ok(())
    });
}
