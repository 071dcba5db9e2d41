//! The host that a bucket is given (wrangler: `r2 bucket dev-url`).

use axum::extract::State;
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Path};

use super::Rooms;
use crate::{
    model::{Bucket, Hosts},
    store::Setting,
};

type BucketPath = Path<(String, String)>;

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
    Path((_account, name)): BucketPath,
) -> Result<Envelope<Managed>, ApiError> {
    let bucket = rooms.store.bucket_find(&name)?;
    let set: Hosts = rooms.store.setting(&bucket.name, Setting::Hosts)?.unwrap_or_default();
    Ok(told(&rooms, bucket, &set))
}

pub(super) async fn managed_write(
    State(rooms): State<Rooms>,
    Path((_account, name)): BucketPath,
    Json(change): Json<Change>,
) -> Result<Envelope<Managed>, ApiError> {
    let _changing = rooms.hosts.change().await;
    let bucket = rooms.store.bucket_find(&name)?;
    let set = Hosts { is_managed: change.enabled };
    rooms.store.setting_put(&bucket.name, Setting::Hosts, &set).await?;
    rooms.hosts.publish(&bucket, &set);
    Ok(told(&rooms, bucket, &set))
}
