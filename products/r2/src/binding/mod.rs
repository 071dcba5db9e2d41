//! Door 1: what `env.BUCKET` says over HTTP, and what it expects to hear. Requests are JSON of Cap'n Proto's kind: 64-bit
//! numbers may come as texts.

mod tell;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, Request, Response, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use model::BucketName;
use product::BindingDoor;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json, value::to_raw_value};

use tell::{Described, Included, ListTold, METADATA_SIZE, answer, refuse, to_bytes};

use crate::{
    R2Error,
    model::{
        After, Attributes, Conditions, CustomMetadata, CustomerKey, DELETE_KEYS_MAX, Etag, EtagMatch,
        HttpMetadata, Key, LIST_MAX, ListQuery, Listed, NamedPart, PartNumber, Range, Span, StorageClass,
        digest,
    },
    store::{Expected, Get, Incoming, NewUpload, Put, Store, UploadId},
};

/// Largest request: 1,000 keys of 1,024 bytes, each byte escaped to six characters, and room around them.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest answer that workerd reads before an object's bytes is 1 MiB (workerd: r2-rpc); lists stop short of it.
const METADATA_BYTES_MAX: usize = 1000 * 1024;

const REQUEST: HeaderName = HeaderName::from_static("cf-r2-request");

/// Makes the door; the resource it is given is the bucket's name.
pub(crate) fn door(store: Arc<Store>) -> BindingDoor {
    Arc::new(move |bucket, request| {
        let store = Arc::clone(&store);
        Box::pin(
            async move { serve(&store, &bucket, request).await.unwrap_or_else(|error| refuse(&error, None)) },
        )
    })
}

async fn serve(store: &Store, bucket: &str, request: Request<Body>) -> Result<Response<Body>, R2Error> {
    let bucket = &bucket.parse().map_err(|_malformed| R2Error::BucketNameInvalid)?;
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        let text = parts.headers.get(REQUEST).ok_or(R2Error::RequestInvalid)?;
        return match parse(text.as_bytes())? {
            Call::Head { object } => {
                let object = store.head(bucket, &Key::parse(object)?)?;
                let whole = Span::whole(object.size);
                Ok(answer(&Described::new(&object, Some(whole))))
            }
            Call::Get(call) => object_get(store, bucket, call).await,
            Call::List(call) => object_list(store, bucket, call).await,
            Call::Put(_)
            | Call::Delete { .. }
            | Call::CreateMultipartUpload(_)
            | Call::UploadPart(_)
            | Call::CompleteMultipartUpload(_)
            | Call::AbortMultipartUpload { .. } => Err(R2Error::RequestInvalid),
        };
    }
    let (text, body) = split(&parts.headers, body).await?;
    let length = value_length(&parts.headers, text.len());
    match parse(&text)? {
        Call::Put(call) => object_put(store, bucket, *call, length, body).await,
        Call::Delete { object, objects } => {
            let keys: Vec<_> = object.into_iter().chain(objects.unwrap_or_default()).collect();
            if DELETE_KEYS_MAX < keys.len() {
                return Err(R2Error::KeysTooMany);
            }
            let keys = keys.into_iter().map(Key::parse).collect::<Result<_, _>>()?;
            store.delete(bucket, keys).await?;
            Ok(Response::new(Body::empty()))
        }
        Call::CreateMultipartUpload(call) => upload_create(store, bucket, *call).await,
        Call::UploadPart(call) => part_put(store, bucket, call, length, body).await,
        Call::CompleteMultipartUpload(call) => upload_complete(store, bucket, call).await,
        Call::AbortMultipartUpload { object, upload_id } => {
            let upload = UploadId { key: Key::parse(object)?, id: upload_id };
            store.upload_abort(bucket, upload).await?;
            Ok(answer(&json!({})))
        }
        Call::Head { .. } | Call::Get(_) | Call::List(_) => Err(R2Error::RequestInvalid),
    }
}

/// One request.
#[derive(Deserialize)]
#[serde(tag = "method", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Call {
    Head { object: String },
    Get(Box<GetCall>),
    Put(Box<PutCall>),
    List(ListCall),
    Delete { object: Option<String>, objects: Option<Vec<String>> },
    CreateMultipartUpload(Box<PutCall>),
    UploadPart(PartCall),
    CompleteMultipartUpload(CompleteCall),
    AbortMultipartUpload { object: String, upload_id: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetCall {
    object: String,
    range: Option<WireRange>,
    range_header: Option<String>,
    only_if: Option<WireConditions>,
    ssec: Option<WireSsec>,
}

#[derive(Deserialize)]
struct WireRange {
    #[serde(default, deserialize_with = "number")]
    offset: Option<i64>,
    #[serde(default, deserialize_with = "number")]
    length: Option<i64>,
    #[serde(default, deserialize_with = "number")]
    suffix: Option<i64>,
}

#[derive(Deserialize)]
struct WireSsec {
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireConditions {
    etag_matches: Option<Vec<WireEtag>>,
    etag_does_not_match: Option<Vec<WireEtag>>,
    #[serde(default, deserialize_with = "number")]
    uploaded_before: Option<i64>,
    #[serde(default, deserialize_with = "number")]
    uploaded_after: Option<i64>,
    #[serde(default)]
    seconds_granularity: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum WireEtag {
    Strong { value: String },
    Weak { value: String },
    Wildcard,
}

/// Also the call that creates an upload, which has some of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutCall {
    object: String,
    custom_fields: Option<Vec<Pair>>,
    http_fields: Option<WireHttp>,
    only_if: Option<WireConditions>,
    md5: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
    sha384: Option<String>,
    sha512: Option<String>,
    storage_class: Option<String>,
    ssec: Option<WireSsec>,
}

#[derive(Deserialize, Serialize)]
struct Pair {
    k: String,
    v: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireHttp {
    content_type: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    cache_control: Option<String>,
    #[serde(default, deserialize_with = "number")]
    cache_expiry: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListCall {
    #[serde(default, deserialize_with = "number")]
    limit: Option<i64>,
    prefix: Option<String>,
    cursor: Option<String>,
    delimiter: Option<String>,
    start_after: Option<String>,
    include: Option<Vec<u16>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartCall {
    object: String,
    upload_id: String,
    part_number: i64,
    ssec: Option<WireSsec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompleteCall {
    object: String,
    upload_id: String,
    parts: Vec<WirePart>,
}

#[derive(Deserialize)]
struct WirePart {
    etag: String,
    part: i64,
}

/// A 64-bit number: Cap'n Proto's JSON writes it as a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    let Some(value) = value else { return Ok(None) };
    let parsed = value.as_str().map_or_else(|| value.as_i64(), |text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| serde::de::Error::custom("not a 64-bit number"))
}

fn parse(text: &[u8]) -> Result<Call, R2Error> {
    serde_json::from_slice(text).map_err(|_malformed| R2Error::RequestInvalid)
}

async fn object_get(
    store: &Store,
    bucket: &BucketName,
    call: Box<GetCall>,
) -> Result<Response<Body>, R2Error> {
    let range = match (call.range_header, call.range) {
        (Some(text), _) => Some(Range::Header(text)),
        (None, Some(range)) => Some(range.read()?),
        (None, None) => None,
    };
    let conditions = call.only_if.map(Conditions::from).unwrap_or_default();
    let get = Get { conditions, range, customer_key: customer_key(call.ssec)? };
    let found = store.get(bucket, &Key::parse(call.object)?, get)?;
    let Some((body, span)) = found.body else {
        let whole = Span::whole(found.object.size);
        return Ok(refuse(&R2Error::PreconditionFailed, Some(Described::new(&found.object, Some(whole)))));
    };
    let metadata = to_bytes(&Described::new(&found.object, Some(span)));
    let (size, length) = (metadata.len(), body.length());
    let body = body.into_body().await?;
    let head = stream::once(std::future::ready(Ok(metadata)));
    let mut response = Response::new(Body::from_stream(head.chain(body.into_data_stream())));
    response.headers_mut().insert(METADATA_SIZE, size.into());
    response.headers_mut().insert(header::CONTENT_LENGTH, (size as u64 + length).into());
    Ok(response)
}

async fn object_put(
    store: &Store,
    bucket: &BucketName,
    call: PutCall,
    length: Option<u64>,
    body: Body,
) -> Result<Response<Body>, R2Error> {
    let key = Key::parse(call.object.as_str())?;
    let attributes = call.attributes()?;
    let incoming = Incoming { length, expected: call.expected()?, customer_key: customer_key(call.ssec)? };
    let body = store.receive(bucket, body, incoming).await?;
    let conditions = call.only_if.map(Conditions::from).unwrap_or_default();
    let object = store.put(bucket, Put { key, attributes, conditions, body }).await?;
    Ok(answer(&Described::new(&object, None)))
}

async fn object_list(store: &Store, bucket: &BucketName, call: ListCall) -> Result<Response<Body>, R2Error> {
    let limit = call.limit.unwrap_or_else(|| i64::try_from(LIST_MAX).unwrap_or(i64::MAX));
    let mut query =
        ListQuery::new(call.prefix.unwrap_or_default()).with_delimiter(call.delimiter).with_limit(limit)?;
    query.after.extend(call.cursor.as_deref().map(After::open).transpose()?);
    query.after.extend(call.start_after.map(After::Key));
    let page = store.list(bucket, query).await?;
    let include = call.include.unwrap_or_default();
    let told = Included { http: include.contains(&0), custom: include.contains(&1) };
    let (mut objects, mut prefixes, mut bytes, mut last) = (Vec::new(), Vec::new(), 0, None);
    let mut is_truncated = page.is_truncated;
    for entry in &page.entries {
        let line = match entry {
            Listed::Object(object) => to_raw_value(&Described::listed(object, told)),
            Listed::Prefix(prefix) => to_raw_value(prefix),
        };
        let line = line.expect("JSON serialises");
        bytes += line.get().len() + 1;
        // Each page goes on at least by one.
        if METADATA_BYTES_MAX < bytes && last.is_some() {
            is_truncated = true;
            break;
        }
        last = Some(entry);
        match entry {
            Listed::Object(_) => objects.push(line),
            Listed::Prefix(_) => prefixes.push(line),
        }
    }
    let cursor = last.filter(|_| is_truncated).map(|last| last.place().seal());
    Ok(answer(&ListTold { objects, truncated: is_truncated, delimited_prefixes: prefixes, cursor }))
}

async fn upload_create(store: &Store, bucket: &BucketName, call: PutCall) -> Result<Response<Body>, R2Error> {
    let (key, attributes) = (Key::parse(call.object.as_str())?, call.attributes()?);
    let ssec_key_md5 = customer_key(call.ssec)?.map(|key| key.md5());
    let id = store.upload_create(bucket, NewUpload { key, attributes, ssec_key_md5 }).await?;
    Ok(answer(&json!({"uploadId": id})))
}

async fn part_put(
    store: &Store,
    bucket: &BucketName,
    call: PartCall,
    length: Option<u64>,
    body: Body,
) -> Result<Response<Body>, R2Error> {
    let upload = UploadId { key: Key::parse(call.object)?, id: call.upload_id };
    let number = PartNumber::parse(call.part_number)?;
    let incoming = Incoming { length, customer_key: customer_key(call.ssec)?, ..Incoming::default() };
    let body = store.receive(bucket, body, incoming).await?;
    let part = store.part_put(bucket, upload, number, body).await?;
    Ok(answer(&json!({"etag": part.etag})))
}

async fn upload_complete(
    store: &Store,
    bucket: &BucketName,
    call: CompleteCall,
) -> Result<Response<Body>, R2Error> {
    let upload = UploadId { key: Key::parse(call.object)?, id: call.upload_id };
    let named = |part: WirePart| Ok(NamedPart { number: PartNumber::parse(part.part)?, etag: part.etag });
    let parts = call.parts.into_iter().map(named).collect::<Result<_, R2Error>>()?;
    let object = store.upload_complete(bucket, upload, parts, Conditions::default()).await?;
    Ok(answer(&Described::new(&object, None)))
}

impl PutCall {
    fn attributes(&self) -> Result<Attributes, R2Error> {
        let pairs = self.custom_fields.iter().flatten().map(|pair| (pair.k.clone(), pair.v.clone()));
        let http = self.http_fields.as_ref().map(WireHttp::read).unwrap_or_default();
        let storage_class = self.storage_class.as_deref().map(StorageClass::parse).transpose()?;
        Attributes::new(http, CustomMetadata::parse(pairs.collect())?, storage_class)
    }

    fn expected(&self) -> Result<Expected, R2Error> {
        let hex = |algorithm, text: &Option<String>, length| {
            text.as_ref().map(|text| digest(algorithm, hex::decode(text).ok(), length)).transpose()
        };
        let md5 = self.md5.as_ref().map(|text| digest("MD5", BASE64_STANDARD.decode(text).ok(), 16));
        Ok(Expected {
            md5: md5.transpose()?,
            sha1: hex("SHA-1", &self.sha1, 20)?,
            sha256: hex("SHA-256", &self.sha256, 32)?,
            sha384: hex("SHA-384", &self.sha384, 48)?,
            sha512: hex("SHA-512", &self.sha512, 64)?,
        })
    }
}

impl WireHttp {
    fn read(&self) -> HttpMetadata {
        HttpMetadata {
            content_type: self.content_type.clone(),
            content_language: self.content_language.clone(),
            content_disposition: self.content_disposition.clone(),
            content_encoding: self.content_encoding.clone(),
            cache_control: self.cache_control.clone(),
            cache_expiry: self.cache_expiry.and_then(|ms| u64::try_from(ms).ok()),
        }
    }
}

impl WireRange {
    fn read(&self) -> Result<Range, R2Error> {
        let positive = |given: Option<i64>| {
            given.map(|number| u64::try_from(number).map_err(|_negative| R2Error::RangeInvalid)).transpose()
        };
        match positive(self.suffix)? {
            Some(suffix) => Ok(Range::Suffix(suffix)),
            None => Ok(Range::From { offset: positive(self.offset)?, length: positive(self.length)? }),
        }
    }
}

impl From<WireConditions> for Conditions {
    fn from(wire: WireConditions) -> Self {
        let etag = |etag| match etag {
            WireEtag::Strong { value } => Etag { value, kind: EtagMatch::Strong },
            WireEtag::Weak { value } => Etag { value, kind: EtagMatch::Weak },
            WireEtag::Wildcard => Etag { value: String::new(), kind: EtagMatch::Wildcard },
        };
        let etags = |etags: Option<Vec<_>>| etags.map(|etags| etags.into_iter().map(etag).collect());
        Self {
            etag_matches: etags(wire.etag_matches),
            etag_does_not_match: etags(wire.etag_does_not_match),
            uploaded_before_ms: wire.uploaded_before,
            uploaded_after_ms: wire.uploaded_after,
            is_in_whole_seconds: wire.seconds_granularity,
        }
    }
}

fn customer_key(ssec: Option<WireSsec>) -> Result<Option<CustomerKey>, R2Error> {
    ssec.map(|ssec| CustomerKey::parse(&ssec.key)).transpose()
}

/// Reads the JSON that goes before a value; what came behind it in the same chunk is given back in front of the rest.
async fn split(headers: &HeaderMap, body: Body) -> Result<(Bytes, Body), R2Error> {
    let size = headers.get(METADATA_SIZE).and_then(|size| size.to_str().ok()?.parse::<usize>().ok());
    let size = size.filter(|size| *size <= REQUEST_BYTES_MAX).ok_or(R2Error::RequestInvalid)?;
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    while read.len() < size {
        let chunk = chunks.next().await.ok_or(R2Error::BodyIncomplete)?;
        read.extend_from_slice(&chunk.map_err(|_broken| R2Error::BodyIncomplete)?);
    }
    let text = read.split_to(size).freeze();
    let rest = stream::once(std::future::ready(Ok(read.freeze())));
    Ok((text, Body::from_stream(rest.chain(chunks))))
}

fn value_length(headers: &HeaderMap, metadata: usize) -> Option<u64> {
    let whole: u64 = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    whole.checked_sub(metadata as u64)
}
