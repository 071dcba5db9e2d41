//! The request that is made most: read one object whole, with nothing else asked. `s3s` prepares for all that S3 can say of
//! a get; here is only what this one needs.
//!
//! Nothing is refused here. What is not plain to the last byte, and what does not end in the object's bytes, is left to
//! `s3s`, which reads it from the start and says why. So nothing gets in that would not get in there, and both answer alike:
//! `tests/it/plain.rs` holds one against the other.

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header},
};
use model::BucketName;
use percent_encoding::percent_decode_str;
use s3s::host::S3Host as _;
use time::OffsetDateTime;

use super::{
    AccessKeys, describe,
    request::{self, Hosts},
    signature::{Claim, UNSIGNED, unique},
};
use crate::{
    headers::{self, DEFAULT_CONTENT_TYPE},
    model::{Key, Object},
    store::{Found, Get, Store},
};

/// Headers of S3's own that ask for nothing here.
const PLAIN_HEADERS: [&str; 4] =
    ["x-amz-checksum-mode", "x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"];

/// Parameters that ask for nothing here: what SDKs add to every get.
const PLAIN_PARAMETERS: [(&str, &str); 3] =
    [("X-Amz-Content-Sha256", UNSIGNED), ("x-amz-checksum-mode", "ENABLED"), ("x-id", "GetObject")];

/// An object that the maker of a request may read.
pub(super) struct Plain {
    bucket: BucketName,
    key: Key,
}

impl Plain {
    /// Reads a request; `None` if it is not plain or not signed rightly.
    pub(super) fn of(request: &Request, hosts: &Hosts, keys: &dyn AccessKeys) -> Option<Self> {
        if request.method() != Method::GET || !request.body().is_end_stream() {
            return None;
        }
        let claim = Claim::of(request)?;
        let asks_for_nothing = claim.parameters().all(|pair| PLAIN_PARAMETERS.contains(&pair))
            && request.headers().keys().all(|name| is_plain(name, &claim));
        let key = keys.find(claim.key_id()).filter(|key| asks_for_nothing && key.can_read)?;
        // As `s3s` does, signatures are held against the machine's own clock.
        if !claim.is_right(request, &key.secret, OffsetDateTime::now_utc()) {
            return None;
        }
        let host = hosts.parse_host_header(unique(request.headers(), header::HOST)?).ok()?;
        let path = request.uri().path().strip_prefix('/')?;
        let (bucket, key) = match host.bucket() {
            Some(bucket) => (bucket, path),
            None => path.split_once('/')?,
        };
        let key = Key::parse(percent_decode_str(key).decode_utf8().ok()?).ok()?;
        Some(Self { bucket: request::bucket(bucket).ok()?, key })
    }

    /// Answers with the object, if it is there and can be read.
    pub(super) async fn read(self, store: &Store) -> Option<Response<Body>> {
        let Found { object, body } = store.get(&self.bucket, &self.key, Get::default()).ok()?;
        let (body, _) = body?;
        let mut response = Response::new(Body::empty());
        describe(&object, response.headers_mut())?;
        *response.body_mut() = body.into_body().await.ok()?;
        Some(response)
    }
}

/// Whether a header asks for nothing. Those of S3's own must be signed.
fn is_plain(name: &HeaderName, claim: &Claim<'_>) -> bool {
    match name.as_str() {
        own if own.starts_with("x-amz-") => PLAIN_HEADERS.contains(&own) && claim.covers(name),
        name => name != "range" && !name.starts_with("if-"),
    }
}

/// Describes an object as `s3s` would; `None` if that takes more than writing down what there is.
fn describe(object: &Object, into: &mut HeaderMap) -> Option<()> {
    headers::describe(object, into);
    into.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
    into.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    into.insert(header::CONTENT_LENGTH, object.size.into());
    let class = HeaderValue::from_static(describe::class(object.storage_class));
    into.insert(HeaderName::from_static("x-amz-storage-class"), class);
    for (name, value) in object.custom.pairs() {
        let is_plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_plain || !describe::is_header_name(name) {
            return None;
        }
        let name = HeaderName::from_bytes(format!("x-amz-meta-{name}").as_bytes()).ok()?;
        into.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(())
}
