//! Many keys in one request.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use v4::{ApiError, Envelope, Json, Path};

use super::find_namespace;
use crate::{
    KvError,
    bulk::{self, BulkEntry, Ordered, ValueType},
    model::{Attributes, BULK_WRITE_KEYS_MAX, Key, Metadata, parse_expiry},
    store::{NewEntry, Store},
};

/// Bytes of values in one commit of a bulk write, so that writers behind it wait for milliseconds.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pairs in one commit of a bulk write.
const COMMIT_PAIRS_MAX: usize = 500;

#[derive(Deserialize)]
pub(super) struct WirePair {
    key: String,
    value: String,
    expiration: Option<serde_json::Number>,
    expiration_ttl: Option<serde_json::Number>,
    metadata: Option<Box<RawValue>>,
    base64: Option<bool>,
}

/// How a bulk write or delete went. What is refused is refused whole, before anything was written.
#[derive(Debug, Serialize)]
pub(super) struct BulkOutcome {
    successful_key_count: usize,
    unsuccessful_keys: Vec<String>,
}

type NamespacePath = Path<(String, String)>;

pub(super) async fn bulk_write(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
    Json(pairs): Json<Vec<WirePair>>,
) -> Result<Envelope<BulkOutcome>, ApiError> {
    let id = find_namespace(&store, &id)?;
    if BULK_WRITE_KEYS_MAX < pairs.len() {
        return Err(KvError::BulkWriteTooMany.into());
    }
    let successful_key_count = pairs.len();
    let now_s = store.now_s();
    // All are checked before the first is written.
    let checked = pairs.into_iter().map(|pair| check(pair, now_s)).collect::<Result<Vec<_>, _>>()?;
    let mut waiting = Vec::new();
    let mut waiting_bytes = 0;
    for (key, value, attributes) in checked {
        let value = store.receive_whole(value.into()).await?;
        waiting_bytes += value.inline_bytes();
        waiting.push(NewEntry { key, value, attributes });
        if COMMIT_PAIRS_MAX <= waiting.len() || COMMIT_BYTES_MAX <= waiting_bytes {
            store.put(id.as_str(), std::mem::take(&mut waiting)).await?;
            waiting_bytes = 0;
        }
    }
    store.put(id.as_str(), waiting).await?;
    Ok(Envelope::new(BulkOutcome { successful_key_count, unsuccessful_keys: Vec::new() }))
}

fn check(pair: WirePair, now_s: u64) -> Result<(Key<'static>, Vec<u8>, Attributes), KvError> {
    let key = Key::parse(pair.key)?;
    let value = if pair.base64.unwrap_or(false) {
        BASE64_STANDARD.decode(pair.value).map_err(|error| KvError::ValueMalformed(error.to_string()))?
    } else {
        pair.value.into_bytes()
    };
    let length = value.len() as u64;
    if crate::model::VALUE_BYTES_MAX < length {
        return Err(KvError::ValueTooLong { bytes: length });
    }
    let expiration = pair.expiration.map(|number| number.to_string());
    let ttl = pair.expiration_ttl.map(|number| number.to_string());
    let expires_s = parse_expiry(expiration.as_deref(), ttl.as_deref(), now_s)?;
    let metadata = pair.metadata.map(|metadata| Metadata::parse(metadata.get().as_bytes())).transpose()?;
    Ok((key, value, Attributes { expires_s, metadata }))
}

pub(super) async fn bulk_delete(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
    Json(names): Json<Vec<String>>,
) -> Result<Envelope<BulkOutcome>, ApiError> {
    let id = find_namespace(&store, &id)?;
    if BULK_WRITE_KEYS_MAX < names.len() {
        return Err(KvError::BulkWriteTooMany.into());
    }
    let successful_key_count = names.len();
    let keys = names.into_iter().map(Key::parse).collect::<Result<Vec<_>, _>>()?;
    let mut keys = keys.into_iter().peekable();
    while keys.peek().is_some() {
        store.delete(id.as_str(), keys.by_ref().take(COMMIT_PAIRS_MAX).collect()).await?;
    }
    Ok(Envelope::new(BulkOutcome { successful_key_count, unsuccessful_keys: Vec::new() }))
}

#[derive(Deserialize)]
pub(super) struct BulkReadBody {
    keys: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "withMetadata")]
    with_metadata: Option<bool>,
}

/// The values of a bulk read.
#[derive(Debug, Serialize)]
struct BulkValues {
    values: Ordered,
}

#[derive(Serialize)]
struct WithMetadata {
    value: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
}

pub(super) async fn bulk_read(
    State(store): State<Arc<Store>>,
    Path((_account, id)): NamespacePath,
    Json(body): Json<BulkReadBody>,
) -> Result<Response, ApiError> {
    let id = find_namespace(&store, &id)?;
    let kind = ValueType::parse(body.kind.as_deref())?;
    let (entries, memory) = bulk::read(&store, id.as_str(), body.keys, kind).await?;
    let has_metadata = body.with_metadata.unwrap_or(false);
    let values = bulk::ordered(entries, |BulkEntry { value, metadata, expires_s }| {
        if has_metadata { bulk::raw(&WithMetadata { value, metadata, expiration: expires_s }) } else { value }
    });
    Ok(memory.held_by(Envelope::new(BulkValues { values }).into_response()))
}
