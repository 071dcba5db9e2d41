//! Imports and exports as wrangler asks for them, backups, and the URLs without a token that belong to them.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST},
    },
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;
use v4::{ApiError, Envelope, Json, Path};

use super::find_database;
use crate::{
    D1Error,
    store::Store,
    transfer::{self, Begun, DumpOptions, Status, Task},
};

type DatabasePath = Path<(String, String)>;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 * 1024;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where a file comes or goes without a token.
pub(super) fn signed_path(secret: &str) -> String {
    format!("/signed/{secret}")
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(super) enum ImportBody {
    Init { etag: String },
    Ingest { etag: String, filename: String },
    Poll { current_bookmark: String },
}

pub(super) async fn import(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    headers: HeaderMap,
    Json(body): Json<ImportBody>,
) -> Result<Envelope<Value>, ApiError> {
    let id = find_database(&store, &database)?.id;
    let (task, message) = match body {
        ImportBody::Init { etag } => match transfer::init_import(&store, id, &etag).await? {
            Begun::Upload { name, secret } => {
                let url = format!("{}{}", origin(&headers), signed_path(secret.as_str()));
                return Ok(Envelope::new(json!({"filename": name, "upload_url": url})));
            }
            Begun::Running(task) => (task, "Starting import..."),
        },
        ImportBody::Ingest { etag, filename } => {
            (transfer::ingest(&store, id, &etag, &filename).await?, "Starting import...")
        }
        ImportBody::Poll { current_bookmark } => {
            match transfer::find_import(&store.transfers, id, &current_bookmark) {
                Some(task) => (task, ""),
                None => return Ok(none("Not currently importing anything.")),
            }
        }
    };
    let began = (!message.is_empty()).then(|| message.to_owned());
    let status = task.poll().await;
    let progress = format!("Processed {} queries.", task.done());
    let messages = began.into_iter().chain([progress]).collect();
    Ok(Envelope::new(told("import", &task, status, messages)))
}

#[derive(Deserialize)]
pub(super) struct ExportBody {
    output_format: String,
    #[serde(default)]
    dump_options: Option<DumpOptions>,
    current_bookmark: Option<String>,
}

pub(super) async fn export(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
    headers: HeaderMap,
    Json(body): Json<ExportBody>,
) -> Result<Envelope<Value>, ApiError> {
    let id = find_database(&store, &database)?.id;
    if body.output_format != "polling" {
        let text = format!("output_format \"{}\" is not \"polling\"", body.output_format);
        return Err(D1Error::RequestMalformed(text).into());
    }
    let task = match body.current_bookmark {
        None => {
            let origin = origin(&headers);
            let url = move |secret: &transfer::Secret| format!("{origin}{}", signed_path(secret.as_str()));
            transfer::start_export(&store, id, body.dump_options.unwrap_or_default(), url).await?
        }
        Some(bookmark) => match transfer::find_export(&store.transfers, id, &bookmark) {
            Some(task) => task,
            None => return Ok(none("Not currently exporting anything.")),
        },
    };
    let status = task.poll().await;
    let messages = vec![format!("Exported {} rows", task.done())];
    Ok(Envelope::new(told("export", &task, status, messages)))
}

/// A poll that speaks of nothing.
fn none(error: &str) -> Envelope<Value> {
    Envelope::new(json!({"success": false, "error": error, "errors": [error], "messages": []}))
}

fn told(kind: &str, task: &Task, status: Status, messages: Vec<String>) -> Value {
    let mut told = json!({
        "success": true, "type": kind, "at_bookmark": task.bookmark, "messages": messages, "errors": [],
    });
    match status {
        Status::Active => told["status"] = json!("active"),
        Status::Complete(result) => {
            told["status"] = json!("complete");
            told["result"] = result;
        }
        Status::Failed(error) => {
            told["status"] = json!("error");
            told["errors"] = json!([error]);
            told["error"] = json!(error);
        }
    }
    told
}

/// A plain SQLite file of the database: a route of this server, beside Cloudflare's.
pub(super) async fn backup(
    State(store): State<Arc<Store>>,
    Path((_account, database)): DatabasePath,
) -> Result<Response, ApiError> {
    let id = find_database(&store, &database)?.id;
    Ok(backup_of(&store, id).await?)
}

/// The same, for the binding's `dump()`.
pub(crate) async fn backup_of(store: &Store, id: model::DatabaseId) -> Result<Response, D1Error> {
    let backup = transfer::backup(store, id).await?;
    let (file, bytes) = transfer::open(backup.path()).await?;
    // The file goes when it is sent, or when nobody wants it any more.
    let chunks = ReaderStream::with_capacity(file, READ_BYTES).map(move |chunk| {
        let _kept = &backup;
        chunk
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    headers.insert(CONTENT_LENGTH, bytes.into());
    Ok(response)
}

pub(super) async fn upload(
    State(store): State<Arc<Store>>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let etag = store.transfers.receive(&secret, request.into_body()).await?;
    let etag = HeaderValue::try_from(format!("\"{etag}\"")).expect("hex digits and quotes");
    Ok((StatusCode::OK, [(ETAG, etag)]).into_response())
}

pub(super) async fn fetch(
    State(store): State<Arc<Store>>,
    Path(secret): Path<String>,
) -> Result<Response, ApiError> {
    let fetched = store.transfers.fetch(&secret)?;
    let (file, bytes) = transfer::open(&fetched.path).await.map_err(D1Error::from)?;
    let mut response = Body::from_stream(ReaderStream::with_capacity(file, READ_BYTES)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/sql"));
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let disposition = format!("attachment; filename=\"{}\"", fetched.name);
    headers.insert(CONTENT_DISPOSITION, HeaderValue::try_from(disposition).expect("ids and bookmarks"));
    Ok(response)
}

/// How the caller reached us, so that it reaches us again. It has a token: a wrong `Host` misleads nobody else.
fn origin(headers: &HeaderMap) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if text(FORWARDED_PROTO) == Some("https") { "https" } else { "http" };
    format!("{scheme}://{}", text(HOST).unwrap_or("127.0.0.1"))
}
