//! Settings: what the latest version has (bindings, compatibility), and what the script has across versions (tags, logs).

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    model::{Script, Version},
    register::Register,
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

/// `PATCH …/scripts/{script}/settings`
pub(super) async fn settings_patch(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    Err(WorkersError::Unsupported("changing bindings without an upload".to_owned()).into())
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

/// `GET …/scripts/{script}/secrets`: names, never text.
pub(super) async fn secret_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    register.script(&name).await?;
    let bindings = register.store().latest_version(&name).await?.map(|version| version.manifest.bindings);
    let is_secret = |binding: &Value| binding.get("type").is_some_and(|kind| kind == "secret_text");
    Ok(Envelope::new(bindings.unwrap_or_default().into_iter().filter(is_secret).collect()))
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
