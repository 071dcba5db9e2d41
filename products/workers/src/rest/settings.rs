//! Settings: what the latest version has (bindings, compatibility), and what the script has across versions (tags, logs).

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, extract::State, http::HeaderMap};
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json, MultipartLimits, read_multipart};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    model::{METADATA_BYTES_MAX, Origin, Script, UPLOAD_TIMEOUT, Version},
    register::{Intent, Register},
    revision::Edit,
    upload::{SETTING_NAMES, chosen},
};

/// `GET …/scripts/{script}/settings`
pub(super) async fn settings_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.script(&name).await?;
    let latest = register.store().latest_version(&name).await?;
    Ok(Envelope::new(settings_answer(&script, latest.as_ref())))
}

/// `PATCH …/scripts/{script}/settings`: bindings, which make a version and deploy it, and the script's own settings.
pub(super) async fn settings_patch(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Result<Envelope<Value>, ApiError> {
    let patch = read_settings(&headers, body).await?;
    let is_known = |field: &str| field == "bindings" || SETTING_NAMES.contains(&field);
    let mut fields = patch.as_object().into_iter().flatten();
    if let Some((field, _)) = fields.find(|(field, value)| !value.is_null() && !is_known(field)) {
        return Err(WorkersError::Unsupported(format!("changing `{field}` without an upload")).into());
    }
    match patch.get("bindings") {
        None | Some(Value::Null) => {}
        Some(Value::Array(bindings)) => {
            let edit = Edit::Replaced(bindings.clone());
            register.revise(name.clone(), edit, BTreeMap::new(), origin, Intent::Deploy).await?;
        }
        Some(_) => return Err(WorkersError::Rejected("`bindings` is not a list".to_owned()).into()),
    }
    let script = register.patch_settings(&name, chosen(&patch, &SETTING_NAMES)).await?;
    let latest = register.store().latest_version(&name).await?;
    Ok(Envelope::new(settings_answer(&script, latest.as_ref())))
}

/// `GET …/scripts/{script}/script-settings`
pub(super) async fn script_settings_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.script(&name).await?;
    Ok(Envelope::new(script_settings_answer(&script)))
}

/// `PATCH …/scripts/{script}/script-settings`
pub(super) async fn script_settings_patch(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Json(body): Json<Value>,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.patch_settings(&name, chosen(&body, &SETTING_NAMES)).await?;
    Ok(Envelope::new(script_settings_answer(&script)))
}

/// The JSON of the one part that says what to change.
async fn read_settings(headers: &HeaderMap, body: Body) -> Result<Value, ApiError> {
    let limits = MultipartLimits {
        parts_max: 1,
        part_bytes_max: METADATA_BYTES_MAX as u64,
        total_bytes_max: METADATA_BYTES_MAX as u64,
        read_timeout: UPLOAD_TIMEOUT,
    };
    let parts = read_multipart(headers, body, limits).await?;
    let invalid = |message: &str| WorkersError::UploadInvalid(message.to_owned());
    let part = parts.first().filter(|part| part.name == "settings");
    let part = part.ok_or_else(|| invalid("it has no part named `settings`"))?;
    let settings = serde_json::from_slice(&part.bytes);
    Ok(settings.map_err(|_cause| invalid("the settings part is not JSON"))?)
}

fn settings_answer(script: &Script, latest: Option<&Version>) -> Value {
    let mut answer = script_settings_answer(script);
    answer["bindings"] = json!(latest.map_or(&[][..], |version| version.manifest.bindings.as_slice()));
    answer["usage_model"] = json!("standard");
    if let Some(version) = latest {
        answer["compatibility_date"] = json!(version.manifest.compatibility.date);
        answer["compatibility_flags"] = json!(version.manifest.compatibility.flags);
        for (name, hint) in &version.manifest.hints {
            answer[name] = hint.clone();
        }
    }
    answer
}

fn script_settings_answer(script: &Script) -> Value {
    let mut answer = json!({"logpush": false, "tags": [], "tail_consumers": [], "observability": null});
    for (name, value) in &script.settings {
        answer[name] = value.clone();
    }
    answer
}
