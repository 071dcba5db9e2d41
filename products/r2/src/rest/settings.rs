//! What a bucket's owner sets: CORS and lifecycle rules.

use std::sync::Arc;

use axum::{Extension, extract::State};
use v4::{ApiError, Envelope, Json};

use crate::{
    R2Error,
    model::{Bucket, Cors, Lifecycle},
    store::{Setting, Store},
};

pub(super) async fn cors_read(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<Cors>, ApiError> {
    let cors = store.setting(&bucket.name, Setting::Cors)?;
    Ok(Envelope::new(cors.ok_or(R2Error::CorsMissing)?))
}

pub(super) async fn cors_write(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    Json(cors): Json<Cors>,
) -> Result<Envelope<()>, ApiError> {
    store.setting_put(&bucket.name, Setting::Cors, &cors.check()?).await?;
    Ok(Envelope::new(()))
}

pub(super) async fn cors_delete(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<()>, ApiError> {
    store.setting_delete(&bucket.name, Setting::Cors).await?;
    Ok(Envelope::new(()))
}

pub(super) async fn lifecycle_read(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<Lifecycle>, ApiError> {
    let lifecycle = store.setting(&bucket.name, Setting::Lifecycle)?;
    Ok(Envelope::new(lifecycle.unwrap_or_default()))
}

pub(super) async fn lifecycle_write(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    Json(lifecycle): Json<Lifecycle>,
) -> Result<Envelope<()>, ApiError> {
    store.setting_put(&bucket.name, Setting::Lifecycle, &lifecycle.check()?).await?;
    Ok(Envelope::new(()))
}
