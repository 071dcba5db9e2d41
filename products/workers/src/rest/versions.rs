//! Versions: what was uploaded, newest first.

use std::sync::Arc;

use axum::extract::State;
use model::VersionId;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, OWNER_EMAIL, Path, rfc3339};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    model::{LISTED_MAX, Script, Version},
    register::Register,
};

/// `GET …/scripts/{script}/versions`
pub(super) async fn version_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.script(&name).await?;
    let versions = register.store().versions(&name, LISTED_MAX).await?;
    let items: Vec<Value> = versions.iter().map(|version| version_answer(&script, version)).collect();
    Ok(Envelope::new(json!({"items": items})))
}

/// `GET …/scripts/{script}/versions/{version}`
pub(super) async fn version_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Path((_, _, version)): Path<(String, String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.script(&name).await?;
    let id: VersionId = version.parse().map_err(|_cause| WorkersError::VersionInvalid(version))?;
    let version = register.store().version(&name, id).await?.ok_or(WorkersError::VersionMissing(id))?;
    Ok(Envelope::new(version_answer(&script, &version)))
}

/// A version as the API shows it. wrangler reads all three blocks of `resources` without checking that they are there.
pub(super) fn version_answer(script: &Script, version: &Version) -> Value {
    let manifest = &version.manifest;
    let created_on = rfc3339(version.created_ms);
    let has_preview = script.subdomain.has_previews && !script.has_objects;
    json!({
        "id": version.id.to_string(),
        "number": version.number,
        "metadata": {
            "created_on": created_on,
            "modified_on": created_on,
            "source": version.origin.source,
            "author_id": version.origin.author,
            "author_email": OWNER_EMAIL,
            "hasPreview": has_preview,
            "has_preview": has_preview,
        },
        "annotations": manifest.annotations,
        "resources": {
            "script": {
                "etag": version.etag,
                "handlers": ["fetch"],
                "last_deployed_from": version.origin.source,
                "placement_mode": manifest.hints.get("placement").and_then(|placement| placement.get("mode")),
            },
            "script_runtime": {
                "compatibility_date": manifest.compatibility.date,
                "compatibility_flags": manifest.compatibility.flags,
                "usage_model": "standard",
                "limits": manifest.hints.get("limits").cloned().unwrap_or_else(|| json!({})),
            },
            "bindings": manifest.bindings,
        },
        "startup_time_ms": version.startup_ms,
    })
}
