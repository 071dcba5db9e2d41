//! A version's modules, as a multipart body.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use model::{Module, ModuleKind, VersionId};
use serde::Deserialize;
use v4::{ApiError, Query};

use super::ScriptPath;
use crate::{error::WorkersError, register::Register};

/// Names the main module in the answer's head.
const ENTRYPOINT: HeaderName = HeaderName::from_static("cf-entrypoint");

#[derive(Deserialize)]
pub(super) struct Which {
    version: Option<String>,
}

/// `GET …/scripts/{script}` and `GET …/scripts/{script}/content/v2[?version=]`; the latest version unless one is named.
pub(super) async fn script_content(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    register.script(&name).await?;
    let id: VersionId = match which.version {
        Some(text) => text.parse().map_err(|_cause| WorkersError::VersionInvalid(text))?,
        None => register.store().latest_version(&name).await?.ok_or(WorkersError::ScriptMissing)?.id,
    };
    let missing = WorkersError::VersionMissing(id);
    let Some(worker) = register.store().load(id).await?.filter(|worker| worker.script == name) else {
        return Err(missing.into());
    };
    let boundary = format!("skerry-{}", hex::encode(rand::random::<[u8; 16]>()));
    // Buffered: an upload's modules have at most UPLOAD_BYTES_MAX bytes.
    let mut body = Vec::new();
    for module in &worker.modules {
        push_part(&mut body, &boundary, module);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let content_type = format!("multipart/form-data; boundary={boundary}");
    Ok(([(CONTENT_TYPE, content_type), (ENTRYPOINT, worker.entry.name().to_owned())], body).into_response())
}

fn push_part(body: &mut Vec<u8>, boundary: &str, module: &Module) {
    // As browsers and wrangler's own client write names in a form.
    let name = module.name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let content_type = content_type(module.kind);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&module.content);
    body.extend_from_slice(b"\r\n");
}

fn content_type(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::EsModule => "application/javascript+module",
        ModuleKind::CommonJs => "application/javascript",
        ModuleKind::Text => "text/plain",
        ModuleKind::Data => "application/octet-stream",
        ModuleKind::Wasm => "application/wasm",
        ModuleKind::Json => "application/json",
        ModuleKind::Python => "text/x-python",
        ModuleKind::PythonRequirement => "text/x-python-requirement",
        ModuleKind::SourceMap => "application/source-map",
    }
}
