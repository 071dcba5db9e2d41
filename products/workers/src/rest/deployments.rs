//! Deployments: which versions answer, and since when.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use v4::{ApiError, Envelope, Json, OWNER_EMAIL, Query, rfc3339};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    model::{Deployment, Origin, Portion},
    register::Register,
};

#[derive(Deserialize)]
pub(super) struct NewDeployment {
    strategy: Option<String>,
    versions: Vec<Portion>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(super) struct Options {
    #[serde(default)]
    force: bool,
}

/// `GET …/scripts/{script}/deployments`: newest first; the first is the active one.
pub(super) async fn deployment_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    let deployments = register.store().deployments(&name).await?;
    let deployments: Vec<Value> = deployments.iter().map(deployment_answer).collect();
    Ok(Envelope::new(json!({"deployments": deployments})))
}

/// `POST …/scripts/{script}/deployments[?force=true]`
pub(super) async fn deployment_create(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Query(options): Query<Options>,
    origin: Origin,
    Json(body): Json<NewDeployment>,
) -> Result<Envelope<Value>, ApiError> {
    if let Some(strategy) = body.strategy.filter(|strategy| strategy != "percentage") {
        let message = format!("strategy '{strategy}' is not known; the only one is 'percentage'");
        return Err(WorkersError::DeploymentInvalid(message).into());
    }
    let annotations = body.annotations.unwrap_or_default();
    let deployment = register.deploy(name, body.versions, annotations, options.force, origin).await?;
    Ok(Envelope::new(deployment_answer(&deployment)))
}

fn deployment_answer(deployment: &Deployment) -> Value {
    json!({
        "id": deployment.id.to_string(),
        "source": deployment.origin.source,
        "strategy": "percentage",
        "author_email": OWNER_EMAIL,
        "created_on": rfc3339(deployment.created_ms),
        "annotations": deployment.annotations,
        "versions": deployment.versions,
    })
}
