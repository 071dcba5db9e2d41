//! Buckets as the account lists them.

use std::sync::Arc;

use axum::{Extension, extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Query, ResultInfo, rfc3339};

use super::{Rooms, jurisdiction, text};
use crate::{
    domains::give_back,
    model::{Bucket, StorageClass, bucket_name},
    store::{NewBucket, Store},
};

/// Most buckets of one page, and the page size if none is asked for (Cloudflare: API reference, R2 buckets).
const PAGE_BUCKETS_MAX: usize = 1000;
const PAGE_BUCKETS_DEFAULT: usize = 20;

const STORAGE_CLASS: &str = "cf-r2-storage-class";

/// A bucket on this wire.
#[derive(Debug, Serialize)]
pub(super) struct WireBucket {
    name: String,
    creation_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    storage_class: &'static str,
    jurisdiction: String,
}

impl From<Bucket> for WireBucket {
    fn from(bucket: Bucket) -> Self {
        Self {
            name: bucket.name.to_string(),
            creation_date: rfc3339(bucket.created_ms),
            location: bucket.location,
            storage_class: bucket.storage_class.as_str(),
            jurisdiction: bucket.jurisdiction,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Buckets {
    buckets: Vec<WireBucket>,
}

#[derive(Deserialize)]
pub(super) struct ListParameters {
    per_page: Option<usize>,
    name_contains: Option<String>,
    start_after: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn bucket_list(
    State(store): State<Arc<Store>>,
    headers: HeaderMap,
    Query(parameters): Query<ListParameters>,
) -> Result<Envelope<Buckets>, ApiError> {
    let jurisdiction = jurisdiction(&headers)?;
    let limit = parameters.per_page.unwrap_or(PAGE_BUCKETS_DEFAULT).clamp(1, PAGE_BUCKETS_MAX);
    // A cursor is the last name of the page before; clients send an empty one for the first page.
    let cursor = parameters.cursor.filter(|cursor| !cursor.is_empty());
    let after = cursor.or(parameters.start_after).unwrap_or_default();
    let part = parameters.name_contains.unwrap_or_default();
    // One more than asked for tells whether this page is the last.
    let mut buckets = store.bucket_list(Some(jurisdiction), &part, &after, limit + 1).await?;
    let is_last = buckets.len() <= limit;
    buckets.truncate(limit);
    let last = buckets.last().filter(|_| !is_last).map(|bucket| bucket.name.to_string());
    let count = buckets.len();
    let buckets = Buckets { buckets: buckets.into_iter().map(WireBucket::from).collect() };
    let info = ResultInfo {
        count,
        per_page: Some(limit),
        cursor: Some(last.unwrap_or_default()),
        ..ResultInfo::default()
    };
    Ok(Envelope::paged(buckets, info))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewBody {
    name: String,
    location_hint: Option<String>,
    storage_class: Option<String>,
}

pub(super) async fn bucket_create(
    State(store): State<Arc<Store>>,
    headers: HeaderMap,
    Json(body): Json<NewBody>,
) -> Result<Envelope<WireBucket>, ApiError> {
    let name = bucket_name(&body.name)?;
    let storage_class = body.storage_class.as_deref().map(StorageClass::parse).transpose()?;
    let new = NewBucket {
        name,
        location: body.location_hint.map(|hint| hint.to_uppercase()),
        jurisdiction: jurisdiction(&headers)?.to_owned(),
        storage_class: storage_class.unwrap_or(StorageClass::Standard),
    };
    Ok(Envelope::new(store.bucket_create(new).await?.into()))
}

pub(super) async fn bucket_read(
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<WireBucket>, ApiError> {
    Ok(Envelope::new(bucket.into()))
}

/// Changes the storage class that new objects take; nothing else of a bucket can be changed.
pub(super) async fn bucket_change(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    headers: HeaderMap,
) -> Result<Envelope<WireBucket>, ApiError> {
    let class = StorageClass::parse(text(&headers, STORAGE_CLASS).unwrap_or_default())?;
    Ok(Envelope::new(store.bucket_set_storage_class(&bucket.name, class).await?.into()))
}

pub(super) async fn bucket_delete(
    State(Rooms { store, domains, .. }): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<()>, ApiError> {
    let id = store.bucket_delete(&bucket.name).await?;
    give_back(&domains, id).await;
    Ok(Envelope::new(()))
}
