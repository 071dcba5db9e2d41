//! Databases as the account lists them.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Paging, Path, Query};

use super::find_database;
use crate::{
    D1Error,
    model::{Database, Name},
    store::{NewDatabase, Store},
};

/// What all databases say of their version: wrangler treats the others as too old.
const VERSION: &str = "production";

/// A database on this wire.
#[derive(Debug, Serialize)]
pub(super) struct WireDatabase {
    uuid: String,
    name: String,
    version: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jurisdiction: Option<String>,
}

impl From<Database> for WireDatabase {
    fn from(database: Database) -> Self {
        Self {
            uuid: database.id.to_string(),
            name: database.name,
            version: VERSION,
            created_at: v4::rfc3339(database.created_ms),
            jurisdiction: database.jurisdiction,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ListParameters {
    name: Option<String>,
}

pub(super) async fn database_list(
    State(store): State<Arc<Store>>,
    Query(parameters): Query<ListParameters>,
    paging: Paging,
) -> Result<Envelope<Vec<WireDatabase>>, ApiError> {
    let databases = store.database_list(parameters.name).await.map_err(D1Error::from)?;
    Ok(paging.cut(databases.into_iter().map(WireDatabase::from).collect()))
}

#[derive(Deserialize)]
pub(super) struct NewBody {
    #[serde(default)]
    name: String,
    primary_location_hint: Option<String>,
    jurisdiction: Option<String>,
}

pub(super) async fn database_create(
    State(store): State<Arc<Store>>,
    Json(body): Json<NewBody>,
) -> Result<Envelope<WireDatabase>, ApiError> {
    let name = Name::parse(&body.name)?;
    let new =
        NewDatabase { name, location_hint: body.primary_location_hint, jurisdiction: body.jurisdiction };
    Ok(Envelope::new(store.database_create(new).await?.into()))
}

type DatabasePath = Path<(String, String)>;

pub(super) async fn database_read(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
) -> Result<Envelope<WireDatabase>, ApiError> {
    Ok(Envelope::new(find_database(&store, &database)?.into()))
}

pub(super) async fn database_delete(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
) -> Result<Envelope<()>, ApiError> {
    let id = find_database(&store, &database)?.id;
    store.database_delete(id).await?;
    Ok(Envelope::new(()))
}
