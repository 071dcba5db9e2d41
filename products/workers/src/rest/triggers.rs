//! What clients ask around a deploy: who depends on a script, and what this server has none of yet: schedules, tails, assets.
//! Asking is answered truthfully; changing is refused by name, and changing nothing is fine.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json};

use super::ScriptPath;
use crate::{error::WorkersError, register::Register};

/// `GET …/scripts/{script}/schedules`
pub(super) async fn schedule_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    Ok(Envelope::new(json!({"schedules": []})))
}

/// `PUT …/scripts/{script}/schedules`
pub(super) async fn schedule_replace(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Json(body): Json<Vec<Value>>,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    none_of(&body, "a cron trigger")?;
    Ok(Envelope::new(json!({"schedules": []})))
}

/// `GET …/scripts/{script}/references`: who calls this script over a service binding, whom it calls, and who uses its Durable
/// Objects.
pub(super) async fn reference_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    let classes = register.store().classes(&name).await?;
    let (mut incoming, mut outgoing, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    for (caller, binding) in register.bindings_to_scripts().await? {
        if binding["type"] == "durable_object_namespace" {
            let bound = classes.iter().find(|class| binding["namespace_id"] == class.namespace.as_str());
            objects.extend(bound.map(|class| {
                json!({
                    "service": caller,
                    "environment": "production",
                    "durable_object_namespace_id": class.namespace,
                    "durable_object_namespace_name": format!("{name}_{}", class.name),
                })
            }));
            continue;
        }
        let reference = |service: &Value| json!({"service": service, "environment": "production", "name": binding["name"]});
        if binding["service"] == name.as_str() {
            incoming.push(reference(&json!(caller)));
        }
        if caller == name {
            outgoing.push(reference(&binding["service"]));
        }
    }
    // A rollout's versions mostly have the same bindings.
    incoming.dedup();
    outgoing.dedup();
    objects.dedup();
    let services = json!({"incoming": incoming, "outgoing": outgoing});
    Ok(Envelope::new(json!({"services": services, "durable_objects": objects, "dispatch_outbounds": []})))
}

/// `GET …/scripts/{script}/tails`
pub(super) async fn tail_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    Ok(Envelope::new(json!([])))
}

/// `POST …/scripts/{script}/tails`
pub(super) async fn tail_create(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    Err(WorkersError::Unsupported("a live tail".to_owned()).into())
}

/// `POST …/scripts/{script}/assets-upload-session`
pub(super) async fn asset_session_create() -> ApiError {
    WorkersError::Unsupported("uploading static assets".to_owned()).into()
}

/// A list that is always empty.
pub(super) async fn empty_list() -> Envelope<Value> {
    Envelope::new(json!([]))
}

fn none_of(rows: &[Value], feature: &str) -> Result<(), WorkersError> {
    if rows.is_empty() { Ok(()) } else { Err(WorkersError::Unsupported(feature.to_owned())) }
}
