//! What a bucket's owner sets: CORS and lifecycle rules.

use std::sync::Arc;

use axum::extract::State;
use v4::{ApiError, Envelope, Json, Path};

use crate::{
    R2Error,
    model::{Cors, Lifecycle},
    store::{Setting, Store},
};

type BucketPath = Path<(String, String)>;

pub(super) async fn cors_read(
    State(store): State<Arc<Store>>,
    Path((_account, name)): BucketPath,
) -> Result<Envelope<Cors>, ApiError> {
    let bucket = store.bucket_find(&name)?;
    let cors = store.setting(&bucket.name, Setting::Cors)?;
    Ok(Envelope::new(cors.ok_or(R2Error::CorsMissing)?))
}

pub(super) async fn cors_write(
    State(store): State<Arc<Store>>,
    Path((_account, name)): BucketPath,
    Json(cors): Json<Cors>,
) -> Result<Envelope<()>, ApiError> {
    let bucket = store.bucket_find(&name)?;
    store.setting_put(&bucket.name, Setting::Cors, &cors.check()?).await?;
    Ok(Envelope::new(()))
}

pub(super) async fn cors_delete(
    State(store): State<Arc<Store>>,
    Path((_account, name)): BucketPath,
) -> Result<Envelope<()>, ApiError> {
    let bucket = store.bucket_find(&name)?;
    store.setting_delete(&bucket.name, Setting::Cors).await?;
    Ok(Envelope::new(()))
}

pub(super) async fn lifecycle_read(
    State(store): State<Arc<Store>>,
    Path((_account, name)): BucketPath,
) -> Result<Envelope<Lifecycle>, ApiError> {
    let bucket = store.bucket_find(&name)?;
    let lifecycle = store.setting(&bucket.name, Setting::Lifecycle)?;
    Ok(Envelope::new(lifecycle.unwrap_or_default()))
}

pub(super) async fn lifecycle_write(
    State(store): State<Arc<Store>>,
    Path((_account, name)): BucketPath,
    Json(lifecycle): Json<Lifecycle>,
) -> Result<Envelope<()>, ApiError> {
    let bucket = store.bucket_find(&name)?;
    store.setting_put(&bucket.name, Setting::Lifecycle, &lifecycle.check()?).await?;
    Ok(Envelope::new(()))
}
