//! Uploads: a new version that answers at once, or one that waits for a deployment.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use model::ScriptName;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, MultipartLimits, Part, read_multipart, rfc3339};

use super::{ScriptPath, versions::version_answer};
use crate::{
    error::WorkersError,
    model::{Origin, UPLOAD_BYTES_MAX, UPLOAD_PARTS_MAX, UPLOAD_TIMEOUT},
    register::{Intent, Kept, Register},
};

/// `PUT …/scripts/{script}`
pub(super) async fn script_upload(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Envelope<Value>, ApiError> {
    let kept = take(&register, name, &headers, body, origin, Intent::Deploy).await?;
    let Kept { script, version, report } = kept;
    let mut answer = json!({
        "id": script.name,
        "tag": script.tag,
        "tags": script.settings.get("tags"),
        "etag": version.etag,
        "handlers": ["fetch"],
        "created_on": rfc3339(script.created_ms),
        "modified_on": rfc3339(script.modified_ms),
        "startup_time_ms": version.startup_ms,
        "deployment_id": version.id.to_string(),
        "entry_point": version.manifest.entry.name(),
        "compatibility_date": version.manifest.compatibility.date,
        "compatibility_flags": version.manifest.compatibility.flags,
        "usage_model": "standard",
        "available_on_subdomain": script.subdomain.is_enabled,
        "last_deployed_from": version.origin.source,
    });
    if let Some(report) = report {
        answer["exports_reconciliation"] = report;
    }
    Ok(Envelope::new(answer))
}

/// `POST …/scripts/{script}/versions`
pub(super) async fn version_upload(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Envelope<Value>, ApiError> {
    let Kept { script, version, .. } = take(&register, name, &headers, body, origin, Intent::Keep).await?;
    Ok(Envelope::new(version_answer(&script, &version)))
}

async fn take(
    register: &Arc<Register>,
    name: ScriptName,
    headers: &HeaderMap,
    body: Body,
    origin: Origin,
    intent: Intent,
) -> Result<Kept, ApiError> {
    let permit = register.upload_permit().await?;
    let parts = read_parts(headers, body).await?;
    Ok(register.upload(name, parts, permit, origin, intent).await?)
}

async fn read_parts(headers: &HeaderMap, body: Body) -> Result<Vec<Part>, ApiError> {
    let limits = MultipartLimits {
        parts_max: UPLOAD_PARTS_MAX,
        part_bytes_max: UPLOAD_BYTES_MAX,
        total_bytes_max: UPLOAD_BYTES_MAX,
        read_timeout: UPLOAD_TIMEOUT,
    };
    read_multipart(headers, body, limits).await.map_err(|error| {
        // A body that is no multipart at all has Cloudflare's code for an upload that cannot be read.
        let is_malformed = error.status == StatusCode::BAD_REQUEST;
        if is_malformed { WorkersError::UploadInvalid(error.message).into() } else { error }
    })
}
