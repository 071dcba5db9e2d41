//! Statements sent to the API: `d1 execute --command`, migrations, the SDKs.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use v4::{ApiError, Envelope, Json, Path};

use super::find_database;
use crate::{
    D1Error,
    model::{self, BATCH_STATEMENTS_MAX, Format, Parameter, Query},
    sql::{Caller, Results, Work},
    store::Store,
};

/// One query, or several that are one transaction.
#[derive(Deserialize)]
pub(super) struct Asked {
    sql: Option<String>,
    #[serde(default, deserialize_with = "model::parameters")]
    params: Vec<Parameter>,
    batch: Option<Vec<Query>>,
}

type DatabasePath = Path<(String, String)>;

pub(super) async fn objects(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    Json(asked): Json<Asked>,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    answer(&store, &database, asked, Format::Objects).await
}

pub(super) async fn raw(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    Json(asked): Json<Asked>,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    answer(&store, &database, asked, Format::RowsAndColumns).await
}

async fn answer(
    store: &Store,
    database: &str,
    asked: Asked,
    format: Format,
) -> Result<Envelope<Box<RawValue>>, ApiError> {
    let id = find_database(store, database)?.id;
    let malformed = |text: String| ApiError::from(D1Error::RequestMalformed(text));
    let queries = match (asked.batch, asked.sql) {
        (Some(batch), _) if BATCH_STATEMENTS_MAX < batch.len() => {
            return Err(malformed(format!("a batch of more than {BATCH_STATEMENTS_MAX} statements")));
        }
        (Some(batch), _) => batch,
        (None, Some(sql)) => vec![Query { sql, params: asked.params }],
        (None, None) => return Err(malformed("missing field `sql`".to_owned())),
    };
    let caller = Caller::default();
    let work = Work { queries, format, results: Results::EachStatement, caller };
    let (done, _bookmark) = store.query(id, work).await?;
    let text =
        String::from_utf8(done.into_json()).map_err(|error| D1Error::RequestMalformed(error.to_string()))?;
    Ok(Envelope::new(RawValue::from_string(text).expect("results are written as JSON")))
}
