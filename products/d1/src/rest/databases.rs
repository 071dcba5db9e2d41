//! Databases as the account lists them.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json, Paging, Path, Query};

use super::find_database;
use crate::{
    D1Error,
    model::{Database, Name},
    store::{NewDatabase, Store},
};

/// What all databases say of their version: wrangler treats the others as too old.
const VERSION: &str = "production";

/// Where a database runs whose owner did not say where it should be.
const REGION: &str = "LOCAL";

type DatabasePath = Path<(String, String)>;

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
    let page = store.database_list(parameters.name, paging.offset(), paging.limit()).await;
    let (databases, total) = page.map_err(D1Error::from)?;
    Ok(paging.of_total(databases.into_iter().map(WireDatabase::from).collect(), total))
}

#[derive(Deserialize)]
pub(super) struct NewBody {
    #[serde(default)]
    name: String,
    primary_location_hint: Option<String>,
    jurisdiction: Option<String>,
    read_replication: Option<ReadReplication>,
}

pub(super) async fn database_create(
    State(store): State<Arc<Store>>,
    Json(body): Json<NewBody>,
) -> Result<Envelope<WireDatabase>, ApiError> {
    let name = Name::parse(&body.name)?;
    check_replication(body.read_replication)?;
    let new =
        NewDatabase { name, location_hint: body.primary_location_hint, jurisdiction: body.jurisdiction };
    Ok(Envelope::new(store.database_create(new).await?.into()))
}

#[derive(Deserialize)]
pub(super) struct ReadParameters {
    /// Separated by commas.
    fields: Option<String>,
}

/// A database with what has to be looked up in it. All of it, or the fields that are asked for.
pub(super) async fn database_read(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    Query(ReadParameters { fields }): Query<ReadParameters>,
) -> Result<Envelope<Value>, ApiError> {
    let database = find_database(&store, &database)?;
    let fields: Option<Vec<_>> = fields.as_ref().map(|fields| fields.split(',').map(str::trim).collect());
    let is_asked = |name: &str| fields.as_ref().is_none_or(|fields| fields.contains(&name));
    let id = database.id;
    let region =
        database.location_hint.as_ref().map_or_else(|| REGION.to_owned(), |hint| hint.to_uppercase());
    let mut shown = serde_json::to_value(WireDatabase::from(database)).expect("plain fields become JSON");
    // Only these need the database to be opened.
    if is_asked("num_tables") || is_asked("file_size") {
        let size = store.size(id).await?;
        shown["num_tables"] = json!(size.tables);
        shown["file_size"] = json!(size.bytes);
    }
    shown["running_in_region"] = json!(region);
    shown["read_replication"] = json!({"mode": ReplicationMode::Disabled});
    if let Value::Object(shown) = &mut shown {
        shown.retain(|name, _| is_asked(name));
    }
    Ok(Envelope::new(shown))
}

/// Changes what can be changed of a database: nothing, but saying so again is no error.
pub(super) async fn database_update(
    State(store): State<Arc<Store>>,
    Path((account, database)): DatabasePath,
    Json(body): Json<Change>,
) -> Result<Envelope<Value>, ApiError> {
    check_replication(body.read_replication)?;
    database_read(State(store), Path((account, database)), Query(ReadParameters { fields: None })).await
}

#[derive(Deserialize)]
pub(super) struct Change {
    read_replication: Option<ReadReplication>,
}

#[derive(Deserialize)]
pub(super) struct ReadReplication {
    mode: ReplicationMode,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReplicationMode {
    Auto,
    Disabled,
}

fn check_replication(asked: Option<ReadReplication>) -> Result<(), D1Error> {
    match asked.map(|replication| replication.mode) {
        None | Some(ReplicationMode::Disabled) => Ok(()),
        Some(ReplicationMode::Auto) => Err(D1Error::ReadReplication("auto".to_owned())),
    }
}

pub(super) async fn database_delete(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
) -> Result<Envelope<()>, ApiError> {
    let id = find_database(&store, &database)?.id;
    store.database_delete(id).await?;
    Ok(Envelope::new(()))
}
