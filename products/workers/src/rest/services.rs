//! Scripts as services, the older view that wrangler asks first in each deploy.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, rfc3339};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    model::{Script, Version},
    register::Register,
};

/// The one environment a service has; `--env` makes another script.
const ENVIRONMENT: &str = "production";

/// `GET …/services/{script}`
pub(super) async fn service_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    let script = register.store().script(&name).await?.ok_or(WorkersError::ServiceMissing)?;
    let latest = register.store().latest_version(&name).await?;
    Ok(Envelope::new(service_answer(&script, latest.as_ref())))
}

/// `DELETE …/services/{script}`
pub(super) async fn service_delete(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.delete(name).await?;
    Ok(Envelope::new(Value::Null))
}

fn service_answer(script: &Script, latest: Option<&Version>) -> Value {
    let created_on = rfc3339(script.created_ms);
    let modified_on = rfc3339(script.modified_ms);
    let mut environment = json!({
        "environment": ENVIRONMENT,
        "created_on": created_on,
        "modified_on": modified_on,
        "script": {
            "id": script.name,
            "tag": script.tag,
            "tags": script.settings.get("tags"),
            "etag": latest.map(|version| &version.etag),
            "handlers": ["fetch"],
            "created_on": created_on,
            "modified_on": modified_on,
            "usage_model": "standard",
            "last_deployed_from": latest.map_or("wrangler", |version| version.origin.source.as_str()),
            "compatibility_date": latest.map(|version| &version.manifest.compatibility.date),
        },
    });
    // wrangler takes its absence for "no migration yet", and null for a tag.
    if let Some(tag) = &script.migration_tag {
        environment["script"]["migration_tag"] = json!(tag);
    }
    json!({
        "id": script.name,
        "created_on": created_on,
        "modified_on": modified_on,
        "default_environment": environment,
        "environments": [environment],
    })
}
