//! One object at a time, as `wrangler r2 object` reads and writes it.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use v4::{ApiError, Envelope, rfc3339};

use super::text;
use crate::{
    R2Error,
    headers::{describe, parse_date},
    model::{Attributes, Bucket, Conditions, CustomMetadata, HttpMetadata, Key, Object, StorageClass},
    store::{Get, Incoming, Put, Store},
};

const STORAGE_CLASS: &str = "cf-r2-storage-class";

/// An object on this wire.
#[derive(Debug, Serialize)]
pub(super) struct WireObject {
    key: String,
    version: String,
    etag: String,
    size: String,
    uploaded: String,
    storage_class: &'static str,
}

impl From<Object> for WireObject {
    fn from(object: Object) -> Self {
        Self {
            key: object.key,
            version: object.version,
            etag: object.etag,
            // A text on this wire (Cloudflare: API reference, R2 objects).
            size: object.size.to_string(),
            uploaded: rfc3339(object.uploaded_ms),
            storage_class: object.storage_class.as_str(),
        }
    }
}

/// The key, from the raw path: it is decoded once, by us, and keeps its slashes.
fn raw_key(uri: &Uri) -> Result<Key, R2Error> {
    // The bucket may itself be called `objects`.
    let below = uri.path().split_once("/r2/buckets/").and_then(|(_, rest)| rest.split_once('/'));
    let raw = below.and_then(|(_bucket, rest)| rest.strip_prefix("objects/")).ok_or(R2Error::KeyInvalid)?;
    Key::parse(percent_decode_str(raw).decode_utf8().map_err(|_utf8| R2Error::KeyInvalid)?)
}

pub(super) async fn object_write(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    request: Request,
) -> Result<Envelope<WireObject>, ApiError> {
    let (parts, body) = request.into_parts();
    let key = raw_key(&parts.uri)?;
    let attributes = attributes(&parts.headers)?;
    let length = text(&parts.headers, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
    let incoming = Incoming { length, ..Incoming::default() };
    let body = store.receive(&bucket.name, body, incoming).await?;
    let put = Put { key, attributes, conditions: Conditions::default(), body };
    Ok(Envelope::new(store.put(&bucket.name, put).await?.into()))
}

pub(super) async fn object_read(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    uri: Uri,
) -> Result<Response<Body>, ApiError> {
    let found = store.get(&bucket.name, &raw_key(&uri)?, Get::default())?;
    let (body, _) = found.body.ok_or(R2Error::PreconditionFailed)?;
    let length = body.length();
    let mut response = Response::new(body.into_body().await?);
    let headers = response.headers_mut();
    describe(&found.object, headers);
    headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

pub(super) async fn object_delete(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    uri: Uri,
) -> Result<Envelope<WireKey>, ApiError> {
    let key = raw_key(&uri)?;
    store.delete(&bucket.name, vec![key.clone()]).await?;
    Ok(Envelope::new(WireKey { key: key.as_str().to_owned() }))
}

/// The key of an object that is gone.
#[derive(Debug, Serialize)]
pub(super) struct WireKey {
    key: String,
}

fn attributes(headers: &HeaderMap) -> Result<Attributes, R2Error> {
    let kept = |name: HeaderName| text(headers, name.as_str()).map(str::to_owned);
    let expires = headers.get(header::EXPIRES).map(expiry_ms).transpose()?;
    let http = HttpMetadata {
        content_type: kept(header::CONTENT_TYPE),
        content_language: kept(header::CONTENT_LANGUAGE),
        content_disposition: kept(header::CONTENT_DISPOSITION),
        content_encoding: kept(header::CONTENT_ENCODING),
        cache_control: kept(header::CACHE_CONTROL),
        cache_expiry: expires,
    };
    let storage_class = text(headers, STORAGE_CLASS).map(StorageClass::parse).transpose()?;
    Attributes::new(http, CustomMetadata::default(), storage_class)
}

/// A date as HTTP writes it, in milliseconds since 1970: a moment is what is kept, so any other text is refused.
fn expiry_ms(text: &HeaderValue) -> Result<u64, R2Error> {
    let seconds = text.to_str().ok().and_then(parse_date).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(|seconds| seconds * 1000).ok_or(R2Error::ExpiresInvalid)
}
