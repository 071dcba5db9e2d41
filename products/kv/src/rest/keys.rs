//! One key at a time, and lists of keys.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use v4::{ApiError, Envelope, MultipartLimits, MultipartStream, Path, Query, ResultInfo, raw_segments};

use super::find_namespace;
use crate::{
    KvError, bulk,
    model::{Attributes, Key, ListQuery, ListedKey, METADATA_BYTES_MAX, Metadata, parse_expiry},
    store::{NewEntry, NewValue, Store},
};

/// A multipart value with its metadata, and some parts that we do not know. The store bounds the value and says so in its
/// own words; so the bytes here are those that it discards at most.
const MULTIPART_LIMITS: MultipartLimits = MultipartLimits {
    parts_max: 8,
    part_bytes_max: 128 * 1024 * 1024,
    total_bytes_max: 129 * 1024 * 1024,
    read_timeout: Duration::from_secs(300),
};

const EXPIRATION: HeaderName = HeaderName::from_static("expiration");

#[derive(Deserialize)]
pub(super) struct ListParameters {
    prefix: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A key on this wire.
#[derive(Debug, Serialize)]
pub(super) struct WireKey {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

impl From<ListedKey> for WireKey {
    fn from(key: ListedKey) -> Self {
        let metadata = key.metadata.as_deref().map(bulk::raw_metadata);
        Self { name: key.name, expiration: key.expires_s, metadata }
    }
}

pub(super) async fn key_list(
    State(store): State<Arc<Store>>,
    Path((_account, id)): Path<(String, String)>,
    Query(parameters): Query<ListParameters>,
) -> Result<Envelope<Vec<WireKey>>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let (prefix, cursor) = (parameters.prefix.as_deref(), parameters.cursor.as_deref());
    let query = ListQuery::parse(id.as_str(), prefix, cursor, "limit", parameters.limit.as_deref())?;
    let page = store.list(id.as_str(), query).await?;
    let keys: Vec<_> = page.keys.into_iter().map(WireKey::from).collect();
    // Clients stop at an empty cursor.
    let cursor = Some(page.cursor.unwrap_or_default());
    let info = ResultInfo { count: keys.len(), cursor, ..ResultInfo::default() };
    Ok(Envelope::paged(keys, info))
}

/// Account, namespace and key. The key is taken from the raw path instead: it is decoded once, by us.
type KeyPath = Path<(String, String, String)>;

fn raw_key(uri: &Uri) -> Result<Key<'_>, KvError> {
    Key::decode(raw_segments(uri).next_back().unwrap_or_default())
}

pub(super) async fn value_read(
    State(store): State<Arc<Store>>,
    Path((_account, id, _key)): KeyPath,
    uri: Uri,
) -> Result<Response<Body>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let entry = store.get(id.as_str(), &raw_key(&uri)?)?.ok_or(KvError::KeyMissing)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, entry.value.bytes().into());
    if let Some(expires_s) = entry.expires_s {
        headers.insert(EXPIRATION, expires_s.into());
    }
    *response.body_mut() = entry.value.into_body();
    Ok(response)
}

pub(super) async fn metadata_read(
    State(store): State<Arc<Store>>,
    Path((_account, id, _key)): KeyPath,
    uri: Uri,
) -> Result<Envelope<Option<Box<RawValue>>>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let entry = store.get(id.as_str(), &raw_key(&uri)?)?.ok_or(KvError::KeyMissing)?;
    Ok(Envelope::new(entry.metadata.as_deref().map(bulk::raw_metadata)))
}

#[derive(Deserialize)]
pub(super) struct WriteParameters {
    expiration: Option<String>,
    expiration_ttl: Option<String>,
}

pub(super) async fn value_write(
    State(store): State<Arc<Store>>,
    Path((_account, id, _key)): KeyPath,
    Query(parameters): Query<WriteParameters>,
    request: Request,
) -> Result<Envelope<()>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let (parts, body) = request.into_parts();
    let key = raw_key(&parts.uri)?.into_owned();
    let (expiration, ttl) = (parameters.expiration.as_deref(), parameters.expiration_ttl.as_deref());
    let expires_s = parse_expiry(expiration, ttl, store.now_s())?;
    let (value, metadata) = if is_multipart(&parts.headers) {
        read_form(&store, &parts.headers, body).await?
    } else {
        (receive_raw(&store, &parts.headers, body).await?, None)
    };
    let entry = NewEntry { key, value, attributes: Attributes { expires_s, metadata } };
    store.put(id.as_str(), vec![entry]).await?;
    Ok(Envelope::new(()))
}

pub(super) async fn key_delete(
    State(store): State<Arc<Store>>,
    Path((_account, id, _key)): KeyPath,
    uri: Uri,
) -> Result<Envelope<()>, ApiError> {
    let id = find_namespace(&store, &id)?;
    let key = raw_key(&uri)?.into_owned();
    store.delete(id.as_str(), vec![key]).await?;
    Ok(Envelope::new(()))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    content_type.get(..20).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/form-data;"))
}

async fn receive_raw(store: &Store, headers: &HeaderMap, body: Body) -> Result<NewValue, KvError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    store.receive(body, length).await
}

/// Reads `value` and `metadata` of a form, in any order; a large value goes to its file as it arrives.
async fn read_form(
    store: &Store,
    headers: &HeaderMap,
    body: Body,
) -> Result<(NewValue, Option<Metadata>), ApiError> {
    let read = async {
        let mut form = MultipartStream::open(headers, body, MULTIPART_LIMITS)?;
        let (mut value, mut metadata) = (None, None);
        while let Some(part) = form.next().await? {
            match part.name() {
                "value" => value = Some(store.receive(part.into_body(), None).await?),
                "metadata" => metadata = read_metadata(part.into_body()).await?,
                _ => {}
            }
        }
        let value =
            value.ok_or_else(|| KvError::ValueMalformed("the form has no part `value`".to_owned()))?;
        Ok((value, metadata))
    };
    let Ok(form) = tokio::time::timeout(MULTIPART_LIMITS.read_timeout, read).await else {
        return Err(KvError::ValueIncomplete.into());
    };
    form
}

async fn read_metadata(mut body: Body) -> Result<Option<Metadata>, KvError> {
    let (mut text, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let chunk = frame.map_err(|_broken| KvError::ValueIncomplete)?.into_data().unwrap_or_default();
        bytes += chunk.len();
        // What is too long is read to its end, so that its length can be told, and not kept.
        if bytes <= METADATA_BYTES_MAX {
            text.extend_from_slice(&chunk);
        }
    }
    if METADATA_BYTES_MAX < bytes {
        return Err(KvError::MetadataTooLong { bytes });
    }
    // SDKs send an empty part for metadata that is not given.
    if text.is_empty() { Ok(None) } else { Metadata::parse(&text).map(Some) }
}
