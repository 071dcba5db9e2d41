//! Objects in S3's words and back.

use std::collections::HashMap;

use axum::http::{HeaderName, HeaderValue};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use s3s::{
    S3Result,
    dto::{ETag, StorageClass as WireClass, Timestamp},
    s3_error,
};
use time::OffsetDateTime;

use crate::model::{CustomMetadata, Object, StorageClass};

/// `None` for a time that no date can say.
pub(super) fn moment(unix_ms: u64) -> Option<Timestamp> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).ok().map(Timestamp::from)
}

pub(super) fn etag(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

pub(super) fn class(class: StorageClass) -> &'static str {
    match class {
        StorageClass::Standard => WireClass::STANDARD,
        StorageClass::InfrequentAccess => WireClass::STANDARD_IA,
    }
}

/// The class that a writer names (Cloudflare: `STANDARD` and `STANDARD_IA`).
pub(super) fn parse_class(class: Option<&WireClass>) -> S3Result<Option<StorageClass>> {
    match class.map(WireClass::as_str) {
        None => Ok(None),
        Some(WireClass::STANDARD) => Ok(Some(StorageClass::Standard)),
        Some(WireClass::STANDARD_IA) => Ok(Some(StorageClass::InfrequentAccess)),
        Some(_) => Err(s3_error!(InvalidStorageClass, "The storage class you specified is not valid.")),
    }
}

/// The headers that a writer wants readers to get, from the input of any operation that makes an object.
macro_rules! http_metadata {
    ($input:expr) => {
        $crate::model::HttpMetadata {
            content_type: $input.content_type,
            content_language: $input.content_language,
            content_disposition: $input.content_disposition,
            content_encoding: $input.content_encoding.and_then($crate::s3::describe::without_chunks),
            cache_control: $input.cache_control,
            cache_expiry: $input.expires.map($crate::s3::describe::expiry_ms),
        }
    };
}
pub(super) use http_metadata;

pub(super) fn expiry_ms(expires: Timestamp) -> u64 {
    u64::try_from(OffsetDateTime::from(expires).unix_timestamp()).unwrap_or(0) * 1000
}

/// `aws-chunked` is about the request alone.
pub(super) fn without_chunks(encoding: String) -> Option<String> {
    let kept: Vec<_> = encoding.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect();
    let kept = kept.join(",");
    (!kept.is_empty()).then_some(kept)
}

pub(super) fn custom(metadata: Option<HashMap<String, String>>) -> Result<CustomMetadata, crate::R2Error> {
    let mut pairs: Vec<_> = metadata.unwrap_or_default().into_iter().collect();
    pairs.sort();
    CustomMetadata::parse(pairs)
}

/// Text that a header can hold; Workers may write any.
pub(super) fn sendable(text: &Option<String>) -> Option<String> {
    text.as_ref().filter(|text| HeaderValue::from_bytes(text.as_bytes()).is_ok()).cloned()
}

/// What headers can say of custom metadata. Values that are not ASCII are encoded (RFC 2047), names cannot be; of names that
/// only case tells apart, the last one is said.
pub(super) fn metadata(object: &Object) -> Option<HashMap<String, String>> {
    let pairs = object.custom.pairs().iter().filter(|(name, _)| is_header_name(name));
    let sendable: HashMap<_, _> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    (!sendable.is_empty()).then_some(sendable)
}

/// How many entries of the custom metadata no header can say.
pub(super) fn missing_metadata(object: &Object) -> Option<i32> {
    let missing = object.custom.pairs().iter().filter(|(name, _)| !is_header_name(name)).count();
    i32::try_from(missing).ok().filter(|missing| 0 < *missing)
}

pub(super) fn is_header_name(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

pub(super) fn base64(bytes: [u8; 16]) -> String {
    BASE64_STANDARD.encode(bytes)
}
