//! Zones, and the routes in them one by one.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use model::{AccountId, ScriptName};
use serde::Deserialize;
use serde_json::{Value, json};
use v4::{ACCOUNT_NAME, ApiError, Envelope, Json, OWNER_EMAIL, Paging, Path, Query, code, rfc3339};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    register::Register,
    store::zones as rows,
    zones::{Zone, ZoneKey, ZoneRoute},
};

#[derive(Deserialize)]
pub(super) struct ZoneFilter {
    name: Option<String>,
    status: Option<String>,
    #[serde(rename = "account.id")]
    account: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ZoneBody {
    name: String,
    account: Option<ZoneAccount>,
}

#[derive(Deserialize)]
struct ZoneAccount {
    id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RouteBody {
    pattern: String,
    script: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ScriptRoute {
    pattern: String,
    zone_id: Option<String>,
    zone_name: Option<String>,
}

/// `GET /zones`
pub(super) async fn zone_list(
    State(register): State<Arc<Register>>,
    Query(filter): Query<ZoneFilter>,
    paging: Paging,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let account = register.account();
    let mut zones = register.store().meta().read(rows::all_zones).await?;
    let is_ours = filter.account.is_none_or(|id| id == account.as_str());
    let is_active = filter.status.is_none_or(|status| status == "active");
    // Other operators of Cloudflare's than `equal`, such as `contains:`, find nothing.
    let name = filter.name.map(|name| name.trim_start_matches("equal:").to_ascii_lowercase());
    zones.retain(|zone| is_ours && is_active && name.as_ref().is_none_or(|name| zone.name == *name));
    Ok(paging.cut(zones.iter().map(|zone| zone_answer(zone, account)).collect()))
}

/// `POST /zones`
pub(super) async fn zone_create(
    State(register): State<Arc<Register>>,
    Json(body): Json<ZoneBody>,
) -> Result<Envelope<Value>, ApiError> {
    let account = register.account();
    let named = body.account.and_then(|account| account.id);
    if named.is_some_and(|id| id != account.as_str()) {
        let message = "Authentication error: not your account";
        return Err(ApiError::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message));
    }
    let zone = register.zone_create(&body.name).await?;
    Ok(Envelope::new(zone_answer(&zone, account)))
}

/// `GET /zones/{zone}`
pub(super) async fn zone_get(
    State(register): State<Arc<Register>>,
    Path(id): Path<String>,
) -> Result<Envelope<Value>, ApiError> {
    let zone = register.store().meta().read(move |db| rows::zone(db, &id)).await?;
    Ok(Envelope::new(zone_answer(&zone, register.account())))
}

/// `DELETE /zones/{zone}`
pub(super) async fn zone_delete(
    State(register): State<Arc<Register>>,
    Path(id): Path<String>,
) -> Result<Envelope<Value>, ApiError> {
    register.zone_delete(id.clone()).await?;
    Ok(Envelope::new(json!({"id": id})))
}

/// `GET /zones/{zone}/workers/routes`
pub(super) async fn route_list(
    State(register): State<Arc<Register>>,
    Path(zone): Path<String>,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let read = move |db: &_| {
        rows::zone(db, &zone)?;
        rows::routes_of_zone(db, &zone)
    };
    let routes = register.store().meta().read(read).await?;
    Ok(Envelope::new(routes.iter().map(route_answer).collect()))
}

/// `POST /zones/{zone}/workers/routes`
pub(super) async fn route_create(
    State(register): State<Arc<Register>>,
    Path(zone): Path<String>,
    Json(body): Json<RouteBody>,
) -> Result<Envelope<Value>, ApiError> {
    let route = ZoneRoute::new(body.pattern, script_of(body.script)?);
    let answer = route_answer(&route);
    register.put_route(zone, route).await?;
    Ok(Envelope::new(answer))
}

/// `GET /zones/{zone}/workers/routes/{route}`
pub(super) async fn route_get(
    State(register): State<Arc<Register>>,
    Path((zone, id)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let route = register.store().meta().read(move |db| rows::route(db, &zone, &id)).await?;
    Ok(Envelope::new(route_answer(&route)))
}

/// `PUT /zones/{zone}/workers/routes/{route}`
pub(super) async fn route_update(
    State(register): State<Arc<Register>>,
    Path((zone, id)): Path<(String, String)>,
    Json(body): Json<RouteBody>,
) -> Result<Envelope<Value>, ApiError> {
    let (of_zone, of_id) = (zone.clone(), id.clone());
    let mut route = register.store().meta().read(move |db| rows::route(db, &of_zone, &of_id)).await?;
    route.pattern = body.pattern;
    route.script = script_of(body.script)?;
    let answer = route_answer(&route);
    register.put_route(zone, route).await?;
    Ok(Envelope::new(answer))
}

/// `DELETE /zones/{zone}/workers/routes/{route}`
pub(super) async fn route_delete(
    State(register): State<Arc<Register>>,
    Path((zone, id)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    register.delete_route(zone, id.clone()).await?;
    Ok(Envelope::new(json!({"id": id})))
}

/// `PUT …/scripts/{script}/routes`: these and no others.
pub(super) async fn route_replace(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Json(body): Json<Vec<ScriptRoute>>,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    let patterns: Vec<String> = body.iter().map(|route| route.pattern.clone()).collect();
    let wanted = body.into_iter().map(|route| {
        let key = ZoneKey::new(route.zone_id, route.zone_name);
        (key, ZoneRoute::new(route.pattern, Some(name.clone())))
    });
    register.replace_routes(name.clone(), wanted.collect()).await?;
    Ok(Envelope::new(json!(patterns)))
}

/// No name, or an empty one, means that no Worker is to answer.
fn script_of(name: Option<String>) -> Result<Option<ScriptName>, WorkersError> {
    let name = name.filter(|name| !name.is_empty());
    name.map(|name| name.parse().map_err(|_cause| WorkersError::RouteScriptMissing)).transpose()
}

fn route_answer(route: &ZoneRoute) -> Value {
    json!({"id": route.id, "pattern": route.pattern, "script": route.script})
}

/// A zone as the API writes it.
fn zone_answer(zone: &Zone, account: &AccountId) -> Value {
    let created = rfc3339(zone.created_ms);
    json!({
        "id": zone.id,
        "name": zone.name,
        "status": "active",
        "paused": false,
        "type": "full",
        "development_mode": 0,
        "name_servers": [],
        "original_name_servers": null,
        "original_registrar": null,
        "original_dnshost": null,
        "created_on": created,
        "modified_on": created,
        "activated_on": created,
        "account": {"id": account, "name": ACCOUNT_NAME},
        "owner": {"id": account, "type": "user", "email": OWNER_EMAIL},
        "permissions": [],
    })
}
