//! The hosts that a bucket's owner gives it (wrangler: `r2 bucket domain`).

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode};
use model::{BucketDomain, BucketPlace, NewBucketDomain};
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Path, code};

use super::Rooms;
use crate::{domains::Domains, model::Bucket};

/// What the doors that speak TLS offer at the oldest; all of these are kept by that.
const MIN_TLS: [&str; 3] = ["1.0", "1.1", "1.2"];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireDomain {
    domain: String,
    enabled: bool,
    status: Status,
    #[serde(rename = "minTLS")]
    min_tls: String,
    zone_id: String,
    zone_name: String,
}

/// There is no DNS record to wait for; certificates are the server's affair (settings, `tls`).
#[derive(Debug, Serialize)]
struct Status {
    ownership: &'static str,
    ssl: &'static str,
}

impl From<BucketDomain> for WireDomain {
    fn from(domain: BucketDomain) -> Self {
        let BucketDomain { hostname, zone_id, zone_name, bucket: _, is_enabled, min_tls } = domain;
        let status = Status { ownership: "active", ssl: "active" };
        Self { domain: hostname, enabled: is_enabled, status, min_tls, zone_id, zone_name }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    domains: Vec<WireDomain>,
}

#[derive(Debug, Serialize)]
pub(super) struct Removed {
    domain: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct New {
    domain: String,
    zone_id: Option<String>,
    enabled: Option<bool>,
    #[serde(rename = "minTLS")]
    min_tls: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    enabled: Option<bool>,
    #[serde(rename = "minTLS")]
    min_tls: Option<String>,
}

pub(super) async fn domain_list(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
) -> Result<Envelope<Listed>, ApiError> {
    let (bucket, domains) = rooms.keeper(bucket)?;
    let domains = domains.list(bucket).await?.into_iter().map(WireDomain::from).collect();
    Ok(Envelope::new(Listed { domains }))
}

pub(super) async fn domain_create(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
    Json(new): Json<New>,
) -> Result<Envelope<WireDomain>, ApiError> {
    let (bucket, domains) = rooms.keeper(bucket)?;
    let new = NewBucketDomain {
        hostname: new.domain,
        zone_id: new.zone_id,
        bucket,
        is_enabled: new.enabled.unwrap_or(true),
        min_tls: min_tls(new.min_tls)?.unwrap_or_else(|| MIN_TLS[0].to_owned()),
    };
    Ok(Envelope::new(domains.put(new).await?.into()))
}

pub(super) async fn domain_read(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
    Path((_account, _bucket, hostname)): Path<(String, String, String)>,
) -> Result<Envelope<WireDomain>, ApiError> {
    let (bucket, domains) = rooms.keeper(bucket)?;
    Ok(Envelope::new(find(&**domains, bucket, &hostname).await?.into()))
}

pub(super) async fn domain_change(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
    Path((_account, _bucket, hostname)): Path<(String, String, String)>,
    Json(change): Json<Change>,
) -> Result<Envelope<WireDomain>, ApiError> {
    let (bucket, domains) = rooms.keeper(bucket)?;
    let old = find(&**domains, bucket, &hostname).await?;
    let new = NewBucketDomain {
        hostname: old.hostname,
        zone_id: Some(old.zone_id),
        bucket: old.bucket,
        is_enabled: change.enabled.unwrap_or(old.is_enabled),
        min_tls: min_tls(change.min_tls)?.unwrap_or(old.min_tls),
    };
    Ok(Envelope::new(domains.put(new).await?.into()))
}

pub(super) async fn domain_delete(
    State(rooms): State<Rooms>,
    Extension(bucket): Extension<Bucket>,
    Path((_account, _bucket, hostname)): Path<(String, String, String)>,
) -> Result<Envelope<Removed>, ApiError> {
    let (bucket, domains) = rooms.keeper(bucket)?;
    let domain = find(&**domains, bucket.clone(), &hostname).await?.hostname;
    domains.delete(bucket, domain.clone()).await?;
    Ok(Envelope::new(Removed { domain }))
}

impl Rooms {
    /// A bucket as those who keep its hosts know it, and them.
    fn keeper(&self, bucket: Bucket) -> Result<(BucketPlace, &Arc<dyn Domains>), ApiError> {
        let domains = self.domains.get().ok_or_else(|| ApiError::internal("the server is still starting"))?;
        Ok((BucketPlace { id: bucket.id, name: bucket.name.to_string() }, domains))
    }
}

async fn find(domains: &dyn Domains, bucket: BucketPlace, hostname: &str) -> Result<BucketDomain, ApiError> {
    let all = domains.list(bucket).await?;
    let found = all.into_iter().find(|domain| domain.hostname.eq_ignore_ascii_case(hostname));
    found.ok_or_else(|| {
        let message = format!("`{hostname}` is no custom domain of this bucket");
        ApiError::new(StatusCode::NOT_FOUND, code::BAD_REQUEST, message)
    })
}

fn min_tls(wanted: Option<String>) -> Result<Option<String>, ApiError> {
    match wanted {
        Some(wanted) if !MIN_TLS.contains(&wanted.as_str()) => {
            let message = format!("minTLS `{wanted}` is not supported: 1.2 is spoken to whoever asks for it");
            Err(ApiError::new(StatusCode::BAD_REQUEST, code::UNSUPPORTED, message))
        }
        wanted => Ok(wanted),
    }
}
