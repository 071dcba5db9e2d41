//! Door 2: Cloudflare's v4 routes, as wrangler, the SDKs and the dashboard call them. Who calls was checked before.

mod bulk;
mod keys;
mod namespaces;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};
use model::NamespaceId;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::{KvError, store::Store};

/// Largest body of a bulk write (Cloudflare: API reference, KV bulk write).
const BULK_WRITE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bulk writes held in memory at once; further ones wait.
const BULK_WRITES_MAX: usize = 4;

/// Largest body that holds nothing but a title or keys: 10,000 keys of 512 bytes, and room around them.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All routes with their full paths.
pub(crate) fn router(store: Arc<Store>) -> Router {
    const NAMESPACES: &str = "/accounts/{account_id}/storage/kv/namespaces";
    let below = |rest: &str| format!("{NAMESPACES}/{{namespace_id}}{rest}");
    Router::new()
        .route(NAMESPACES, get(namespaces::namespace_list).post(namespaces::namespace_create))
        .route(
            &below(""),
            get(namespaces::namespace_read)
                .put(namespaces::namespace_rename)
                .delete(namespaces::namespace_delete),
        )
        .route(&below("/keys"), get(keys::key_list))
        .route(&below("/metadata/{key}"), get(keys::metadata_read))
        .route(
            &below("/values/{key}"),
            get(keys::value_read)
                .put(keys::value_write)
                .delete(keys::key_delete)
                // The store bounds values while it receives them.
                .layer(DefaultBodyLimit::disable()),
        )
        .route(
            &below("/bulk"),
            put(bulk::bulk_write).delete(bulk::bulk_delete).layer((
                GlobalConcurrencyLimitLayer::new(BULK_WRITES_MAX),
                DefaultBodyLimit::max(BULK_WRITE_BYTES_MAX),
            )),
        )
        .route(&below("/bulk/get"), post(bulk::bulk_read))
        .route(&below("/bulk/delete"), post(bulk::bulk_delete))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .with_state(store)
}

/// Checks that a path names a namespace of ours.
fn find_namespace(store: &Store, id: &str) -> Result<NamespaceId, KvError> {
    let id: NamespaceId = id.parse().map_err(|_malformed| KvError::NamespaceMalformed)?;
    match store.namespace_get(&id)? {
        Some(_) => Ok(id),
        None => Err(KvError::NamespaceMissing),
    }
}
