//! Objects in S3's words and back.

use std::collections::HashMap;

use s3s::{
    S3Result,
    dto::{ETag, StorageClass as WireClass, Timestamp},
    s3_error,
};
use time::OffsetDateTime;

use crate::model::{CustomMetadata, HttpMetadata, Object, StorageClass};

pub(super) fn moment(unix_ms: u64) -> Timestamp {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).into()
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

/// The headers that a writer wants readers to get.
#[derive(Default)]
pub(super) struct Described {
    pub(super) content_type: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) expires: Option<Timestamp>,
}

impl From<Described> for HttpMetadata {
    fn from(given: Described) -> Self {
        let expires = given.expires.map(|expires| {
            let expires: OffsetDateTime = expires.into();
            u64::try_from(expires.unix_timestamp()).unwrap_or(0) * 1000
        });
        Self {
            content_type: given.content_type,
            content_language: given.content_language,
            content_disposition: given.content_disposition,
            content_encoding: given.content_encoding.and_then(without_chunks),
            cache_control: given.cache_control,
            cache_expiry: expires,
        }
    }
}

/// `aws-chunked` is about the request alone.
fn without_chunks(encoding: String) -> Option<String> {
    let kept: Vec<_> = encoding.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect();
    let kept = kept.join(",");
    (!kept.is_empty()).then_some(kept)
}

pub(super) fn custom(metadata: Option<HashMap<String, String>>) -> Result<CustomMetadata, crate::R2Error> {
    let mut pairs: Vec<_> = metadata.unwrap_or_default().into_iter().collect();
    pairs.sort();
    CustomMetadata::parse(pairs)
}

pub(super) fn metadata(object: &Object) -> Option<HashMap<String, String>> {
    let pairs = object.custom.pairs();
    (!pairs.is_empty()).then(|| pairs.iter().cloned().collect())
}
