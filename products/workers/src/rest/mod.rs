//! The REST door: Cloudflare's v4 routes to the register. One file per noun; each parses, makes one or two calls, answers.

mod content;
mod deployments;
mod domains;
mod objects;
mod scripts;
mod secrets;
mod services;
mod settings;
mod subdomain;
mod triggers;
mod upload;
mod versions;
mod workers;
mod zones;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, RawPathParams},
    http::{header::USER_AGENT, request::Parts},
    routing::{get, patch, post, put},
};
use model::ScriptName;
use v4::{ApiError, Principal};

use crate::{error::WorkersError, model::Origin, register::Register};

/// All routes, with full paths below `/client/v4`.
pub(crate) fn router(register: Arc<Register>) -> Router {
    const A: &str = "/accounts/{account_id}/workers";
    let script = format!("{A}/scripts/{{script}}");
    let script = |rest: &str| format!("{script}{rest}");
    let account = |rest: &str| format!("{A}{rest}");
    Router::new()
        .route(&script(""), put(upload::script_upload))
        .route(&script("/versions"), post(upload::version_upload))
        .route(&script(""), get(content::script_content).delete(scripts::script_delete))
        .route(&script("/content/v2"), get(content::script_content))
        .route(&script("/versions"), get(versions::version_list))
        .route(&script("/versions/{version}"), get(versions::version_get))
        .route(
            &script("/deployments"),
            get(deployments::deployment_list).post(deployments::deployment_create),
        )
        .route(&script("/settings"), get(settings::settings_get).patch(settings::settings_patch))
        .route(
            &script("/script-settings"),
            get(settings::script_settings_get).patch(settings::script_settings_patch),
        )
        .route(
            &script("/subdomain"),
            get(subdomain::subdomain_get).post(subdomain::subdomain_set).delete(subdomain::subdomain_unset),
        )
        .route(&script("/secrets"), get(secrets::secret_list).put(secrets::secret_put))
        .route(&script("/secrets/{name}"), get(secrets::secret_get).delete(secrets::secret_delete))
        .route(&script("/secrets-bulk"), patch(secrets::secret_bulk))
        .route(&script("/schedules"), get(triggers::schedule_list).put(triggers::schedule_replace))
        .route(&script("/routes"), put(zones::route_replace))
        .route(&script("/domains/changeset"), post(domains::domain_changeset))
        .route(&script("/domains/records"), put(domains::domain_replace))
        .route(&script("/references"), get(triggers::reference_list))
        .route(&script("/tails"), get(triggers::tail_list).post(triggers::tail_create))
        .route(&script("/assets-upload-session"), post(triggers::asset_session_create))
        .route(&account("/scripts"), get(scripts::script_list))
        .route(&account("/services/{script}"), get(services::service_get).delete(services::service_delete))
        .route(&account("/workers"), get(workers::worker_list))
        .route(&account("/workers/{script}"), get(workers::worker_get))
        .route(&account("/workers/{script}/versions/latest"), patch(secrets::version_patch))
        .route(
            &account("/subdomain"),
            get(subdomain::account_subdomain_get).put(subdomain::account_subdomain_set),
        )
        .route(&account("/subdomains/{name}"), get(subdomain::subdomain_name_get))
        .route(&account("/domains"), get(domains::domain_list).put(domains::domain_put))
        .route(&account("/domains/{id}"), get(domains::domain_get).delete(domains::domain_delete))
        .route(&account("/domains/records"), get(domains::domain_list))
        .route(&account("/domains/records/{id}"), get(domains::domain_get).delete(domains::domain_delete))
        .route(&account("/tails/by-consumer/{script}"), get(triggers::empty_list))
        .route(&account("/durable_objects/namespaces"), get(objects::namespace_list))
        .route(&account("/durable_objects/namespaces/{id}"), get(objects::namespace_get))
        .merge(zone_routes())
        .with_state(register)
}

/// Zones are of the account, but their paths do not say so.
fn zone_routes() -> Router<Arc<Register>> {
    Router::new()
        .route("/zones", get(zones::zone_list).post(zones::zone_create))
        .route("/zones/{zone}", get(zones::zone_get).delete(zones::zone_delete))
        .route("/zones/{zone}/workers/routes", get(zones::route_list).post(zones::route_create))
        .route(
            "/zones/{zone}/workers/routes/{route}",
            get(zones::route_get).put(zones::route_update).delete(zones::route_delete),
        )
}

/// The script that the path names.
struct ScriptPath(ScriptName);

impl<S: Send + Sync> FromRequestParts<S> for ScriptPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = parameter(parts, state, "script").await?;
        Ok(Self(name.parse().map_err(WorkersError::NameInvalid)?))
    }
}

/// Reads one parameter of the path, decoded.
async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, ApiError> {
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| ApiError::internal(format!("a route without `{name}` asks for it")))
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // wrangler asks before it overwrites what anything but wrangler deployed.
        let source = if agent.starts_with("wrangler") { "wrangler" } else { "api" };
        let Some(Principal { token }) = parts.extensions.get::<Principal>().cloned() else {
            return Err(ApiError::internal("a change arrived without a principal"));
        };
        Ok(Self { author: token, source: source.to_owned() })
    }
}
