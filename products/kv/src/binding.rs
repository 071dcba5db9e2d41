//! Door 1: what `env.KV` says over HTTP, and what it expects to hear. The reason phrase carries the error's text: workerd
//! shows user code that, not the body.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::ext::ReasonPhrase;
use product::BindingDoor;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    KvError,
    bulk::{self, BulkEntry, ValueType},
    model::{Attributes, CACHE_TTL_S_MIN, Key, ListQuery, ListedKey, Metadata, parse_expiry},
    store::{NewEntry, Store},
};

/// Largest body of a bulk read: 100 keys of 512 bytes, each byte escaped to six characters, and room around them.
const BULK_BODY_BYTES_MAX: usize = 512 * 1024;

const METADATA: HeaderName = HeaderName::from_static("cf-kv-metadata");
const EXPIRATION: HeaderName = HeaderName::from_static("cf-expiration");

/// Makes the door.
pub(crate) fn door(store: Arc<Store>) -> BindingDoor {
    Arc::new(move |namespace, request| {
        let store = Arc::clone(&store);
        Box::pin(
            async move { serve(&store, &namespace, request).await.unwrap_or_else(|error| refuse(&error)) },
        )
    })
}

async fn serve(store: &Store, namespace: &str, request: Request<Body>) -> Result<Response<Body>, KvError> {
    let path = request.uri().path().trim_start_matches('/');
    match (request.method(), path) {
        (&Method::GET, "") => key_list(store, namespace, request.uri()).await,
        (&Method::GET, _) => value_read(store, namespace, request.uri()),
        (&Method::POST, "bulk/get") => bulk_read(store, namespace, request.into_body()).await,
        (&Method::PUT, _) => value_write(store, namespace, request).await,
        (&Method::DELETE, _) => {
            let key = parse_key(request.uri())?.into_owned();
            store.delete(namespace, vec![key]).await?;
            Ok(Response::new(Body::empty()))
        }
        (method, _) => Err(KvError::MethodUnknown(method.to_string())),
    }
}

fn value_read(store: &Store, namespace: &str, uri: &Uri) -> Result<Response<Body>, KvError> {
    let key = parse_key(uri)?;
    check_cache_ttl(parameter(uri, "cache_ttl").as_deref())?;
    let Some(entry) = store.get(namespace, &key)? else {
        return Err(KvError::KeyMissing);
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, entry.value.bytes().into());
    if let Some(expires_s) = entry.expires_s {
        headers.insert(EXPIRATION, expires_s.into());
    }
    // Metadata is raw UTF-8 on this wire. JSON text has no control characters but white space between tokens.
    let metadata = entry.metadata.map(|text| text.replace(['\r', '\n'], " "));
    if let Some(Ok(metadata)) = metadata.map(|text| HeaderValue::from_bytes(text.as_bytes())) {
        headers.insert(METADATA, metadata);
    }
    *response.body_mut() = entry.value.into_body();
    Ok(response)
}

async fn value_write(
    store: &Store,
    namespace: &str,
    request: Request<Body>,
) -> Result<Response<Body>, KvError> {
    let (parts, body) = request.into_parts();
    let key = parse_key(&parts.uri)?.into_owned();
    let expiration = parameter(&parts.uri, "expiration");
    let expiration_ttl = parameter(&parts.uri, "expiration_ttl");
    let expires_s = parse_expiry(expiration.as_deref(), expiration_ttl.as_deref(), store.now_s())?;
    let metadata = parts.headers.get(METADATA).map(|value| Metadata::parse(value.as_bytes())).transpose()?;
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let value = store.receive(body, length).await?;
    let entry = NewEntry { key, value, attributes: Attributes { expires_s, metadata } };
    store.put(namespace, vec![entry]).await?;
    Ok(Response::new(Body::empty()))
}

#[derive(Serialize)]
struct WirePage {
    keys: Vec<WireKey>,
    list_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct WireKey {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    /// JSON text in a string: workerd parses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

impl From<ListedKey> for WireKey {
    fn from(key: ListedKey) -> Self {
        Self { name: key.name, expiration: key.expires_s, metadata: key.metadata }
    }
}

async fn key_list(store: &Store, namespace: &str, uri: &Uri) -> Result<Response<Body>, KvError> {
    let query = ListQuery::parse(
        namespace,
        parameter(uri, "prefix").as_deref(),
        parameter(uri, "cursor").as_deref(),
        "key_count_limit",
        parameter(uri, "key_count_limit").as_deref(),
    )?;
    let page = store.list(namespace, query).await?;
    let keys = page.keys.into_iter().map(WireKey::from).collect();
    Ok(json(&WirePage { keys, list_complete: page.cursor.is_none(), cursor: page.cursor }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkRead {
    keys: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    with_metadata: Option<bool>,
    /// A string on this wire.
    cache_ttl: Option<String>,
}

#[derive(Serialize)]
struct WithMetadata {
    value: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
}

async fn bulk_read(store: &Store, namespace: &str, body: Body) -> Result<Response<Body>, KvError> {
    let body = Limited::new(body, BULK_BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| KvError::RequestMalformed(error.to_string()))?.to_bytes();
    let request: BulkRead =
        serde_json::from_slice(&body).map_err(|error| KvError::RequestMalformed(error.to_string()))?;
    check_cache_ttl(request.cache_ttl.as_deref())?;
    let kind = ValueType::parse(request.kind.as_deref())?;
    let (entries, memory) = bulk::read(store, namespace, request.keys, kind).await?;
    let has_metadata = request.with_metadata.unwrap_or(false);
    let answer = json(&bulk::ordered(entries, |entry: BulkEntry| {
        if has_metadata {
            bulk::raw(&WithMetadata { value: entry.value, metadata: entry.metadata })
        } else {
            entry.value
        }
    }));
    Ok(memory.held_by(answer))
}

fn parse_key(uri: &Uri) -> Result<Key<'_>, KvError> {
    let path = uri.path();
    let raw = path.strip_prefix('/').unwrap_or(path);
    let is_encoded = parameter(uri, "urlencoded").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_encoded { Key::decode(raw) } else { Key::parse(raw) }
}

fn check_cache_ttl(given: Option<&str>) -> Result<(), KvError> {
    let Some(given) = given else { return Ok(()) };
    match given.parse::<u64>() {
        Ok(seconds) if CACHE_TTL_S_MIN <= seconds => Ok(()),
        _ => Err(KvError::CacheTtlInvalid(given.to_owned())),
    }
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let query = uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value)
}

fn json(value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).expect("texts, numbers and parsed JSON serialise");
    let mut response = Response::new(Body::from(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The one place that turns an error into this door's answer.
fn refuse(error: &KvError) -> Response<Body> {
    let (status, text) = match error {
        // By far the most frequent, and no error to the caller: workerd makes it `null`.
        KvError::KeyMissing => (StatusCode::NOT_FOUND, "Not Found".to_owned()),
        error => error.answer(),
    };
    // Text that cannot stand in a status line is left to the body.
    let reason = ReasonPhrase::try_from(text.as_bytes().to_vec()).ok();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}
