//! The REST door: which objects there are, and what is in them. Namespaces are the register's.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use v4::{ApiError, Envelope, Json, Query, ResultInfo};

use crate::{
    archive::Manifest,
    error::ObjectsError,
    homes::Homes,
    model::{OBJECTS_LISTED_DEFAULT, OBJECTS_LISTED_MAX, ObjectId, SQL_BYTES_MAX},
    store::{self, Found, Inside},
    transfer,
};

/// All routes with their full paths.
pub(crate) fn router(homes: Arc<Homes>) -> Router {
    const NAMESPACE: &str = "/accounts/{account_id}/workers/durable_objects/namespaces/{id}";
    const OBJECTS: &str = "/accounts/{account_id}/workers/durable_objects/namespaces/{id}/objects";
    let archives = Router::new()
        .route(&format!("{NAMESPACE}/backup"), get(namespace_backup))
        .route(&format!("{NAMESPACE}/restore"), post(namespace_restore))
        // An archive is as large as it is: it goes to the disk piece by piece.
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route(OBJECTS, get(object_list))
        .route(&format!("{OBJECTS}/{{object}}"), get(object_inspect))
        .route(&format!("{OBJECTS}/{{object}}/query"), post(object_query))
        // A statement in JSON may be twice as long as it is.
        .layer(DefaultBodyLimit::max(2 * SQL_BYTES_MAX + 1024))
        .merge(archives)
        .with_state(homes)
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    #[serde(rename = "hasStoredData")]
    has_stored_data: bool,
}

/// `GET …/namespaces/{id}/objects[?limit=&cursor=]`
async fn object_list(
    State(homes): State<Arc<Homes>>,
    Path((_, id)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<Envelope<Vec<Listed>>, ApiError> {
    let limit = page.limit.unwrap_or(OBJECTS_LISTED_DEFAULT).clamp(1, OBJECTS_LISTED_MAX);
    let cursor = page.cursor.filter(|cursor| !cursor.is_empty());
    let invalid = || ObjectsError::Invalid("the cursor is not one that a list gave".to_owned());
    let cursor = cursor.map(|cursor| ObjectId::parse(&cursor).ok_or_else(invalid)).transpose()?;
    let (listed, cursor) = look(&homes, &id, move |folder, _| {
        let unreadable = |error: std::io::Error| ObjectsError::Unreadable(error.to_string());
        let (ids, has_more) = store::objects(folder, cursor.as_ref(), limit).map_err(unreadable)?;
        let cursor = ids.last().filter(|_| has_more).map_or("", ObjectId::as_str).to_owned();
        let listed = ids.iter().map(|id| Listed {
            id: id.as_str().to_owned(),
            has_stored_data: store::has_stored_data(folder, id),
        });
        Ok((listed.collect::<Vec<_>>(), cursor))
    })
    .await?;
    let info = ResultInfo { count: listed.len(), cursor: Some(cursor), ..ResultInfo::default() };
    Ok(Envelope::paged(listed, info))
}

/// `GET …/namespaces/{id}/objects/{id or name}`
async fn object_inspect(
    State(homes): State<Arc<Homes>>,
    Path((_, id, object)): Path<(String, String, String)>,
) -> Result<Envelope<Inside>, ApiError> {
    let inside = look(&homes, &id, move |folder, namespace| {
        store::inspect(folder, &ObjectId::of(namespace, &object)?)
    });
    Ok(Envelope::new(inside.await?))
}

#[derive(Deserialize)]
struct Statement {
    sql: String,
}

/// `POST …/namespaces/{id}/objects/{id or name}/query`
async fn object_query(
    State(homes): State<Arc<Homes>>,
    Path((_, id, object)): Path<(String, String, String)>,
    Json(Statement { sql }): Json<Statement>,
) -> Result<Envelope<Found>, ApiError> {
    if SQL_BYTES_MAX < sql.len() {
        let message = format!("the statement has more than {SQL_BYTES_MAX} bytes");
        return Err(ObjectsError::Invalid(message).into());
    }
    let clock = homes.clock.clone();
    let found = look(&homes, &id, move |folder, namespace| {
        store::query(folder, &ObjectId::of(namespace, &object)?, &sql, &clock)
    });
    Ok(Envelope::new(found.await?))
}

/// `GET …/namespaces/{id}/backup`
async fn namespace_backup(
    State(homes): State<Arc<Homes>>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let body = transfer::backup(&homes, &id).await?;
    let name = format!("attachment; filename=\"durable-objects-{id}.tar\"");
    let headers = [(CONTENT_TYPE, "application/x-tar".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

/// `POST …/namespaces/{id}/restore`
async fn namespace_restore(
    State(homes): State<Arc<Homes>>,
    Path((_, id)): Path<(String, String)>,
    body: Body,
) -> Result<Envelope<Manifest>, ApiError> {
    Ok(Envelope::new(transfer::restore(&homes, &id, body).await?))
}

/// Reads files of a namespace on a thread that may block.
async fn look<T: Send + 'static>(
    homes: &Homes,
    id: &str,
    read: impl FnOnce(&std::path::Path, &::model::ObjectNamespaceId) -> Result<T, ObjectsError> + Send + 'static,
) -> Result<T, ObjectsError> {
    let namespace = homes.namespace(id).await?;
    let folder = homes.namespace_folder(&namespace.home, &namespace.id);
    let unavailable = |error: String| ObjectsError::Unavailable(error);
    let _permit = homes.looks.acquire().await.map_err(|error| unavailable(error.to_string()))?;
    let looked = tokio::task::spawn_blocking(move || read(&folder, &namespace.id)).await;
    looked.map_err(|error| unavailable(error.to_string()))?
}
