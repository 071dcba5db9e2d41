//! Door 2: Cloudflare's v4 routes, as wrangler, the SDKs and the dashboard call them. Who calls was checked before.

mod databases;
mod query;
mod time_travel;
mod transfers;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub(crate) use transfers::backup_of;

use crate::{D1Error, model::Database, store::Store};

/// Largest body of a query: a statement of each of its values, escaped.
const QUERY_BYTES_MAX: usize = 100 * 1024 * 1024;

/// All routes with their full paths.
pub(crate) fn router(store: Arc<Store>) -> Router {
    const DATABASES: &str = "/accounts/{account_id}/d1/database";
    let below = |rest: &str| format!("{DATABASES}/{{database_id}}{rest}");
    Router::new()
        .route(DATABASES, get(databases::database_list).post(databases::database_create))
        .route(
            &below(""),
            get(databases::database_read)
                .put(databases::database_update)
                .patch(databases::database_update)
                .delete(databases::database_delete),
        )
        .route(&below("/query"), post(query::objects))
        .route(&below("/raw"), post(query::raw))
        .route(&below("/import"), post(transfers::import))
        .route(&below("/export"), post(transfers::export))
        .route(&below("/backup"), get(transfers::backup))
        .route(&below("/time_travel/bookmark"), get(time_travel::bookmark_read))
        .route(&below("/time_travel/restore"), post(time_travel::restore))
        .layer(DefaultBodyLimit::max(QUERY_BYTES_MAX))
        .with_state(store)
}

/// Routes that need no token: what is in their URLs was told to somebody who had one.
pub(crate) fn signed(store: Arc<Store>) -> Router {
    Router::new()
        .route(&transfers::signed_path("{secret}"), get(transfers::fetch).put(transfers::upload))
        .with_state(store)
}

/// The database that a path names by id or, as wrangler does, by name.
fn find_database(store: &Store, text: &str) -> Result<Database, D1Error> {
    let found = match text.parse() {
        Ok(id) => store.database_get(id)?,
        Err(_) => store.database_by_name(text)?,
    };
    found.ok_or_else(|| D1Error::DatabaseMissing(text.to_owned()))
}
