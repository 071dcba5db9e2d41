//! Door 2: Cloudflare's v4 routes, as wrangler, the SDKs and the dashboard call them. Who calls was checked before.

mod buckets;
mod domains;
mod hosts;
mod objects;
mod scrub;
mod settings;
mod unsupported;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, RawPathParams, Request, State},
    http::HeaderMap,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post, put},
};
use v4::ApiError;

use crate::{R2Error, domains::DomainsLater, public::PublicHosts, store::Store};

/// Largest body that only describes a bucket.
const JSON_BYTES_MAX: usize = 64 * 1024;

/// Where the caller wants buckets to lie; without it, or with its first value, nowhere in particular.
const JURISDICTION: &str = "cf-r2-jurisdiction";

/// What it may say (Cloudflare: R2 data location).
const JURISDICTIONS: [&str; 3] = ["default", "eu", "fedramp"];

/// What the routes work on.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) store: Arc<Store>,
    pub(crate) hosts: Arc<PublicHosts>,
    pub(crate) domains: DomainsLater,
}

impl FromRef<Rooms> for Arc<Store> {
    fn from_ref(rooms: &Rooms) -> Self {
        Self::clone(&rooms.store)
    }
}

/// All routes with their full paths.
pub(crate) fn router(rooms: Rooms) -> Router {
    const BUCKETS: &str = "/accounts/{account_id}/r2/buckets";
    let below = |rest: &str| format!("{BUCKETS}/{{bucket_name}}{rest}");
    Router::new()
        .route(BUCKETS, get(buckets::bucket_list).post(buckets::bucket_create))
        .route(
            &below(""),
            get(buckets::bucket_read).patch(buckets::bucket_change).delete(buckets::bucket_delete),
        )
        .route(
            &below("/objects/{*key}"),
            put(objects::object_write)
                .get(objects::object_read)
                .delete(objects::object_delete)
                // The store bounds objects while it receives them.
                .layer(DefaultBodyLimit::disable()),
        )
        .route(
            &below("/cors"),
            get(settings::cors_read).put(settings::cors_write).delete(settings::cors_delete),
        )
        .route(&below("/lifecycle"), get(settings::lifecycle_read).put(settings::lifecycle_write))
        .route(&below("/scrub"), post(scrub::scrub))
        .route(&below("/domains/managed"), get(hosts::managed_read).put(hosts::managed_write))
        .route(&below("/domains/custom"), get(domains::domain_list).post(domains::domain_create))
        .route(
            &below("/domains/custom/{domain}"),
            get(domains::domain_read).put(domains::domain_change).delete(domains::domain_delete),
        )
        .route(&below("/lock"), put(unsupported::locks))
        .route(&below("/sippy"), put(unsupported::sippy))
        .route(
            "/accounts/{account_id}/event_notifications/r2/{bucket_name}/configuration/queues/{queue_id}",
            put(unsupported::notifications),
        )
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .route_layer(from_fn_with_state(Arc::clone(&rooms.store), within_jurisdiction))
        .with_state(rooms)
}

fn jurisdiction(headers: &HeaderMap) -> Result<&'static str, R2Error> {
    let Some(given) = headers.get(JURISDICTION) else { return Ok(JURISDICTIONS[0]) };
    let known = JURISDICTIONS.into_iter().find(|known| given == known);
    known.ok_or(R2Error::JurisdictionInvalid)
}

/// A bucket is there only for callers who name its jurisdiction. Handlers take it from here, as an [`axum::Extension`].
async fn within_jurisdiction(
    State(store): State<Arc<Store>>,
    path: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let jurisdiction = jurisdiction(request.headers())?;
    if let Some((_, name)) = path.iter().find(|(parameter, _)| *parameter == "bucket_name") {
        let bucket = store.bucket_find(name)?;
        if bucket.jurisdiction != jurisdiction {
            return Err(R2Error::BucketMissing.into());
        }
        request.extensions_mut().insert(bucket);
    }
    Ok(next.run(request).await)
}

/// A header's text, if it is there and is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
