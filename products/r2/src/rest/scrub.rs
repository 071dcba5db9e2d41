//! A route of our own for `skerry r2 scrub`: Cloudflare looks after its disks itself.

use std::sync::Arc;

use axum::{Extension, extract::State};
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json};

use crate::{
    model::Bucket,
    store::{Scrubbed, Store},
};

#[derive(Debug, Deserialize)]
pub(super) struct From {
    /// The `next` of the call before.
    after: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct WireScrubbed {
    objects: usize,
    bytes: u64,
    damaged: Vec<WireDamage>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct WireDamage {
    key: String,
    cause: String,
}

pub(super) async fn scrub(
    State(store): State<Arc<Store>>,
    Extension(bucket): Extension<Bucket>,
    Json(From { after }): Json<From>,
) -> Result<Envelope<WireScrubbed>, ApiError> {
    let Scrubbed { objects, bytes, damaged, next } = store.scrub(&bucket.name, after).await?;
    let damaged =
        damaged.into_iter().map(|damage| WireDamage { key: damage.key, cause: damage.cause }).collect();
    Ok(Envelope::new(WireScrubbed { objects, bytes, damaged, next }))
}
