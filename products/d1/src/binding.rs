//! Door 1: what `env.DB` says over HTTP, and what it expects to hear. The status is ignored there: an answer with an
//! `error` is an error.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use model::DatabaseId;
use product::BindingDoor;
use serde_json::json;

use crate::{
    D1Error,
    model::{BATCH_STATEMENTS_MAX, Bookmark, Format, Query},
    sql::{Caller, Results, Work},
    store::Store,
};

/// Largest request: room for a batch of large values, as arrays of decimal numbers.
const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Carries the bookmark of a session; Cloudflare's word for it was once another.
const SESSION: HeaderName = HeaderName::from_static("x-cf-d1-session-commit-token");

/// Makes the door.
pub(crate) fn door(store: Arc<Store>) -> BindingDoor {
    Arc::new(move |database, request| {
        let store = Arc::clone(&store);
        Box::pin(async move {
            let answer = match database.parse() {
                Ok(id) => serve(&store, id, request).await,
                Err(_) => Err(D1Error::DatabaseMissing(database.to_string())),
            };
            answer.unwrap_or_else(|error| refuse(&error))
        })
    })
}

async fn serve(store: &Store, id: DatabaseId, request: Request<Body>) -> Result<Response<Body>, D1Error> {
    let (parts, body) = request.into_parts();
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/query" | "/execute") => {
            let session = parts.headers.get(SESSION).map(|value| value.to_str().unwrap_or_default().trim());
            let session = session.filter(|session| !session.is_empty());
            if let Some(session) = session {
                check_session(id, session)?;
            }
            let format = format_of(parts.uri.query().unwrap_or_default());
            let (queries, caller) = (read(body).await?, Caller::default());
            let work = Work { queries, format, results: Results::EachQuery, caller };
            let (done, bookmark) = store.query(id, work).await?;
            let mut response = json_response(Bytes::from(done.into_json()));
            if session.is_some() {
                let bookmark = HeaderValue::try_from(bookmark.to_string()).expect("hex digits and dashes");
                response.headers_mut().insert(SESSION, bookmark);
            }
            Ok(response)
        }
        (&Method::POST, "/dump") => crate::rest::backup_of(store, id).await,
        (method, path) => Err(D1Error::MethodUnknown(format!("{method} {path}"))),
    }
}

async fn read(body: Body) -> Result<Vec<Query>, D1Error> {
    let malformed = |error: &dyn std::fmt::Display| D1Error::RequestMalformed(error.to_string());
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
    let body = body.map_err(|error| malformed(&error))?.to_bytes();
    // One query, or an array of them.
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let queries = if is_array {
        serde_json::from_slice(&body)
    } else {
        serde_json::from_slice(&body).map(|one| vec![one])
    };
    let queries: Vec<Query> = queries.map_err(|error| malformed(&error))?;
    if BATCH_STATEMENTS_MAX < queries.len() {
        return Err(malformed(&format!("a batch of more than {BATCH_STATEMENTS_MAX} statements")));
    }
    Ok(queries)
}

/// With one machine every state is the newest, so any constraint is met and any earlier bookmark is reached.
fn check_session(id: DatabaseId, session: &str) -> Result<(), D1Error> {
    let is_constraint = matches!(session, "first-primary" | "first-unconstrained");
    let is_ours = || session.parse::<Bookmark>().is_ok_and(|bookmark| bookmark.database == id);
    if is_constraint || is_ours() { Ok(()) } else { Err(D1Error::BookmarkInvalid(session.to_owned())) }
}

fn format_of(query: &str) -> Format {
    let format = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "resultsFormat");
    match format.as_ref().map(|(_, value)| &**value) {
        Some("ROWS_AND_COLUMNS") => Format::RowsAndColumns,
        _ => Format::Objects,
    }
}

fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The one place that turns an error into this door's answer.
fn refuse(error: &D1Error) -> Response<Body> {
    let body = json!({"success": false, "error": error.tell()}).to_string();
    let mut response = json_response(Bytes::from(body));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
