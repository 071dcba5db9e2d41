//! Whether a script answers below the base domain, and what stands for the account's workers.dev name.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json, Path};

use super::ScriptPath;
use crate::{error::WorkersError, model::Subdomain, register::Register};

#[derive(Deserialize)]
pub(super) struct SubdomainChange {
    enabled: bool,
    previews_enabled: Option<bool>,
}

/// `GET …/scripts/{script}/subdomain`
pub(super) async fn subdomain_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Subdomain>, ApiError> {
    Ok(Envelope::new(register.script(&name).await?.subdomain))
}

/// `POST …/scripts/{script}/subdomain`. Previews follow `enabled` when the caller does not say.
pub(super) async fn subdomain_set(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Json(body): Json<SubdomainChange>,
) -> Result<Envelope<Subdomain>, ApiError> {
    let has_previews = body.previews_enabled.unwrap_or(body.enabled);
    let subdomain = Subdomain { is_enabled: body.enabled, has_previews };
    Ok(Envelope::new(register.set_subdomain(name, subdomain).await?))
}

/// `DELETE …/scripts/{script}/subdomain`
pub(super) async fn subdomain_unset(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Subdomain>, ApiError> {
    let subdomain = Subdomain { is_enabled: false, has_previews: false };
    Ok(Envelope::new(register.set_subdomain(name, subdomain).await?))
}

/// `GET …/workers/subdomain`: always has a value, since clients offer to register one otherwise.
pub(super) async fn account_subdomain_get(State(register): State<Arc<Register>>) -> Envelope<Value> {
    Envelope::new(json!({"subdomain": account_label(&register)}))
}

/// `PUT …/workers/subdomain`
pub(super) async fn account_subdomain_set(
    State(register): State<Arc<Register>>,
    Json(body): Json<Value>,
) -> Result<Envelope<Value>, ApiError> {
    let label = account_label(&register);
    if body.get("subdomain").and_then(Value::as_str) == Some(label) {
        return Ok(Envelope::new(json!({"subdomain": label})));
    }
    let message = format!("changing the account's subdomain (it follows the base domain, now '{label}')");
    Err(WorkersError::Unsupported(message).into())
}

/// `GET …/workers/subdomains/{name}`: whether a name is taken (10031) or free (10032), told by an error either way.
pub(super) async fn subdomain_name_get(
    State(register): State<Arc<Register>>,
    Path((_, name)): Path<(String, String)>,
) -> ApiError {
    if name == account_label(&register) {
        return ApiError::new(StatusCode::CONFLICT, 10_031, "this subdomain is taken");
    }
    ApiError::new(StatusCode::NOT_FOUND, 10_032, "this subdomain is not taken")
}

/// The first label of the base domain: an older wrangler prints `<script>.<label>.workers.dev`.
fn account_label(register: &Register) -> &str {
    register.settings().base_domain.split('.').next().unwrap_or_default()
}
