//! What this door answers: JSON in front of a value, or an error in a header.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, header},
};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{json, value::RawValue};

use crate::{
    R2Error,
    model::{Checksums, HttpMetadata, Object, Span},
};

pub(super) const METADATA_SIZE: HeaderName = HeaderName::from_static("cf-r2-metadata-size");
const ERROR: HeaderName = HeaderName::from_static("cf-r2-error");

/// An object as this wire describes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described<'a> {
    name: &'a str,
    version: &'a str,
    size: u64,
    etag: &'a str,
    uploaded: u64,
    http_fields: &'a HttpMetadata,
    #[serde(serialize_with = "pairs")]
    custom_fields: &'a [(String, String)],
    checksums: Sums<'a>,
    storage_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<RangeTold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssec: Option<SsecTold>,
}

/// Checksums under the numbers that the wire gives algorithms.
#[derive(Debug, Serialize)]
struct Sums<'a> {
    #[serde(rename = "0", skip_serializing_if = "Option::is_none")]
    md5: Option<&'a str>,
    #[serde(rename = "1", skip_serializing_if = "Option::is_none")]
    sha1: Option<&'a str>,
    #[serde(rename = "2", skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(rename = "3", skip_serializing_if = "Option::is_none")]
    sha384: Option<&'a str>,
    #[serde(rename = "4", skip_serializing_if = "Option::is_none")]
    sha512: Option<&'a str>,
}

/// workerd takes a member that is missing for 2^64 - 1.
#[derive(Debug, Serialize)]
struct RangeTold {
    offset: u64,
    length: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SsecTold {
    algorithm: &'static str,
    key_md5: String,
}

/// What a list tells of its objects besides the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Included {
    pub(super) http: bool,
    pub(super) custom: bool,
}

impl<'a> Described<'a> {
    pub(super) fn new(object: &'a Object, range: Option<Span>) -> Self {
        let Checksums { sha1, sha256, sha384, sha512 } = &object.checksums;
        let sums = Sums {
            md5: object.md5(),
            sha1: sha1.as_deref(),
            sha256: sha256.as_deref(),
            sha384: sha384.as_deref(),
            sha512: sha512.as_deref(),
        };
        let ssec = |md5: [u8; 16]| SsecTold { algorithm: "AES256", key_md5: hex::encode(md5) };
        Self {
            name: &object.key,
            version: &object.version,
            size: object.size,
            etag: &object.etag,
            uploaded: object.uploaded_ms,
            http_fields: &object.http,
            custom_fields: object.custom.pairs(),
            checksums: sums,
            storage_class: object.storage_class.as_str(),
            range: range.map(|span| RangeTold { offset: span.start, length: span.length() }),
            ssec: object.ssec_key_md5.map(ssec),
        }
    }

    /// As a list tells of it: what is not asked for is told empty, as by the reference.
    pub(super) fn listed(object: &'a Object, included: Included) -> Self {
        static NOTHING: HttpMetadata = HttpMetadata::EMPTY;
        let mut described = Self::new(object, None);
        if !included.http {
            described.http_fields = &NOTHING;
        }
        if !included.custom {
            described.custom_fields = &[];
        }
        described
    }
}

fn pairs<S: Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Pair<'a> {
        k: &'a str,
        v: &'a str,
    }
    serializer.collect_seq(pairs.iter().map(|(k, v)| Pair { k, v }))
}

/// A page; its lines are JSON already, since their length decides how many there are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTold {
    pub(super) objects: Vec<Box<RawValue>>,
    pub(super) truncated: bool,
    pub(super) delimited_prefixes: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
}

pub(super) fn answer(value: &impl Serialize) -> Response<Body> {
    let bytes = to_bytes(value);
    let size = bytes.len();
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(METADATA_SIZE, size.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn to_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("JSON serialises").into()
}

/// The one place that turns an error into this door's answer. Of a get whose conditions do not hold, workerd wants the
/// object's description too.
pub(super) fn refuse(error: &R2Error, described: Option<Described<'_>>) -> Response<Body> {
    let (status, code, message) = error.answer();
    let mut response = described.map_or_else(|| Response::new(Body::empty()), |object| answer(&object));
    *response.status_mut() = status;
    let text = in_ascii(&json!({"version": 1, "v4code": code, "message": message}).to_string());
    if let Ok(text) = HeaderValue::try_from(text) {
        response.headers_mut().insert(ERROR, text);
    }
    response
}

/// The same JSON for a header: all that a header cannot hold can only stand in a text, where it can be escaped.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}
