//! Scripts as `workers`, the newer view from which wrangler takes the host it prints.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Paging, Path, rfc3339};

use crate::{error::WorkersError, model::Script, register::Register};

/// `GET …/workers`
pub(super) async fn worker_list(
    State(register): State<Arc<Register>>,
    paging: Paging,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let scripts = register.store().scripts().await?;
    Ok(paging.cut(scripts.iter().map(|script| worker_answer(&register, script)).collect()))
}

/// `GET …/workers/{script}`, by name or by tag.
pub(super) async fn worker_get(
    State(register): State<Arc<Register>>,
    Path((_, key)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let script = find_script(&register, &key).await?;
    Ok(Envelope::new(worker_answer(&register, &script)))
}

/// The script of this name or tag.
pub(super) async fn find_script(register: &Register, key: &str) -> Result<Script, WorkersError> {
    let by_name = match key.parse() {
        Ok(name) => register.store().script(&name).await?,
        Err(_) => None,
    };
    match by_name {
        Some(script) => Ok(script),
        None => register.store().script_by_tag(key).await?.ok_or(WorkersError::ScriptMissing),
    }
}

fn worker_answer(register: &Register, script: &Script) -> Value {
    let host = register.host(&script.name);
    let setting = |name: &str, default: Value| script.settings.get(name).cloned().unwrap_or(default);
    json!({
        "id": script.tag,
        "name": script.name,
        "created_on": rfc3339(script.created_ms),
        "updated_on": rfc3339(script.modified_ms),
        "deployed_on": rfc3339(script.modified_ms),
        "tags": setting("tags", json!([])),
        "logpush": setting("logpush", json!(false)),
        "observability": setting("observability", json!({"enabled": false})),
        "tail_consumers": setting("tail_consumers", json!([])),
        "subdomain": {
            "enabled": script.subdomain.is_enabled,
            "previews_enabled": script.subdomain.has_previews,
            // wrangler takes the host from here, and prints it as https and without our port whatever this says.
            "url": format!("https://{host}"),
            "preview_url_suffix": format!("-{host}"),
        },
        "references": {},
        "previews_base_config": {},
    })
}
