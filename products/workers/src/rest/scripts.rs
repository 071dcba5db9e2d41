//! Scripts by name: list and delete.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, rfc3339};

use super::ScriptPath;
use crate::{model::Script, register::Register};

/// `GET …/scripts`
pub(super) async fn script_list(
    State(register): State<Arc<Register>>,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let scripts = register.store().scripts().await?;
    Ok(Envelope::new(scripts.iter().map(script_answer).collect()))
}

/// `DELETE …/scripts/{script}`
pub(super) async fn script_delete(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.delete(name).await?;
    Ok(Envelope::new(Value::Null))
}

fn script_answer(script: &Script) -> Value {
    let mut answer = json!({
        "id": script.name,
        "tag": script.tag,
        "tags": script.settings.get("tags"),
        "logpush": script.settings.get("logpush").unwrap_or(&Value::Bool(false)),
        "usage_model": "standard",
        "created_on": rfc3339(script.created_ms),
        "modified_on": rfc3339(script.modified_ms),
    });
    // wrangler 4.86 looks here for the migrations that were done.
    if let Some(tag) = &script.migration_tag {
        answer["migration_tag"] = json!(tag);
    }
    answer
}
