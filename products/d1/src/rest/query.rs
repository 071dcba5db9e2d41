//! Statements sent to the API: `d1 execute --command`, migrations, the SDKs.

use std::sync::Arc;

use axum::extract::State;
use serde_json::value::RawValue;
use v4::{ApiError, Envelope, Json, Path};

use super::find_database;
use crate::{
    D1Error,
    model::{self, Format},
    sql::{Caller, Results, Work},
    store::Store,
};

type DatabasePath = Path<(String, String)>;

pub(super) async fn objects(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    Json(query): Json<model::Query>,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    answer(&store, &database, query, Format::Objects).await
}

pub(super) async fn raw(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    Json(query): Json<model::Query>,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    answer(&store, &database, query, Format::RowsAndColumns).await
}

async fn answer(
    store: &Store,
    database: &str,
    query: model::Query,
    format: Format,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    let id = find_database(store, database)?.id;
    let caller = Caller::default();
    let work = Work { queries: vec![query], format, results: Results::EachStatement, caller };
    let (done, _bookmark) = store.query(id, work).await?;
    let text = String::from_utf8(done.json).map_err(|error| D1Error::RequestMalformed(error.to_string()))?;
    Ok(Envelope::new(RawValue::from_string(text).expect("results are written as JSON")))
}
