//! The host that a bucket is given (wrangler: `r2 bucket dev-url`).

use axum::{Extension, extract::State};
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json};

use super::Rooms;
use crate::{
    model::{Bucket, Hosts},
    store::Setting,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Managed {
    bucket_id: String,
    domain: String,
    enabled: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    enabled: bool,
}

fn told(rooms: &Rooms, bucket: Bucket, set: &Hosts) -> Envelope<Managed> {
    let domain = rooms.hosts.managed(&bucket);
    Envelope::new(Managed { bucket_id: bucket.id, domain, enabled: set.is_managed })
}

pub(super) async fn managed_read(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<Managed>, ApiError> {
    let set: Hosts = rooms.store.setting(&bucket.name, Setting::Hosts)?.unwrap_or_default();
    Ok(told(&rooms, bucket, &set))
}

pub(super) async fn managed_write(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
    Json(change): Json<Change>,
) -> Result<Envelope<Managed>, ApiError> {
    let _changing = rooms.hosts.change().await;
    let set = Hosts { is_managed: change.enabled };
    rooms.store.setting_put(&bucket.name, Setting::Hosts, &set).await?;
    rooms.hosts.publish(&bucket, &set);
    Ok(told(&rooms, bucket, &set))
}
