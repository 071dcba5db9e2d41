//! Custom domains: hosts that belong to a Worker whole.

use std::sync::Arc;

use axum::extract::State;
use model::ScriptName;
use serde::Deserialize;
use serde_json::{Value, json};
use v4::{ApiError, Envelope, Json, Path, Query};

use super::ScriptPath;
use crate::{
    error::WorkersError,
    register::Register,
    store::zones as rows,
    zones::{Domain, NewDomain, ZoneKey},
};

/// The only environment there is.
const ENVIRONMENT: &str = "production";

#[derive(Deserialize)]
pub(super) struct DomainFilter {
    hostname: Option<String>,
    service: Option<String>,
    zone_id: Option<String>,
    zone_name: Option<String>,
    environment: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Origin {
    hostname: String,
    zone_id: Option<String>,
    zone_name: Option<String>,
    enabled: Option<bool>,
    previews_enabled: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Records {
    origins: Vec<Origin>,
    #[serde(default)]
    override_existing_origin: bool,
}

#[derive(Deserialize)]
pub(super) struct DomainBody {
    #[serde(flatten)]
    origin: Origin,
    service: String,
    #[serde(default)]
    override_existing_origin: bool,
}

#[derive(Deserialize)]
pub(super) struct ChangesetQuery {
    #[serde(default)]
    replace_state: bool,
}

/// `GET …/domains`, `GET …/domains/records`: all of them on one page.
pub(super) async fn domain_list(
    State(register): State<Arc<Register>>,
    Query(filter): Query<DomainFilter>,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let mut domains = register.store().meta().read(rows::all_domains).await?;
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    domains.retain(|domain| {
        is(&filter.hostname, &domain.hostname)
            && is(&filter.service, domain.script.as_str())
            && is(&filter.zone_id, &domain.zone_id)
            && is(&filter.zone_name, &domain.zone_name)
            && is(&filter.environment, ENVIRONMENT)
    });
    Ok(Envelope::new(domains.iter().map(domain_answer).collect()))
}

/// `PUT …/domains`: gives one host to a Worker.
pub(super) async fn domain_put(
    State(register): State<Arc<Register>>,
    Json(body): Json<DomainBody>,
) -> Result<Envelope<Value>, ApiError> {
    let name: ScriptName = body.service.parse().map_err(|_cause| WorkersError::ScriptMissing)?;
    let domain = register.put_domain(name, wanted(body.origin)?, body.override_existing_origin).await?;
    Ok(Envelope::new(domain_answer(&domain)))
}

/// `GET …/domains/{id}`, `GET …/domains/records/{id}`
pub(super) async fn domain_get(
    State(register): State<Arc<Register>>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let domain = register.store().meta().read(move |db| rows::domain(db, &id)).await?;
    Ok(Envelope::new(domain_answer(&domain)))
}

/// `DELETE …/domains/{id}`, `DELETE …/domains/records/{id}`
pub(super) async fn domain_delete(
    State(register): State<Arc<Register>>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    register.delete_domain(id.clone()).await?;
    Ok(Envelope::new(json!({"id": id})))
}

/// `POST …/scripts/{script}/domains/changeset`: what replacing would do. wrangler finds hosts of other Workers among
/// `updated`, and asks before it takes them; `conflicting` is about DNS records, of which there are none here.
pub(super) async fn domain_changeset(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Query(query): Query<ChangesetQuery>,
    Json(body): Json<Vec<Origin>>,
) -> Result<Envelope<Value>, ApiError> {
    register.script(&name).await?;
    let changes = register.domain_changes(name, all_wanted(body)?, query.replace_state).await?;
    let added: Vec<Value> = changes.added.iter().map(|hostname| json!({"hostname": hostname})).collect();
    let removed: Vec<Value> = changes.removed.iter().map(domain_answer).collect();
    let updated = changes.updated.iter().map(|(domain, is_modified)| {
        let mut answer = domain_answer(domain);
        answer["modified"] = json!(is_modified);
        answer
    });
    let updated: Vec<Value> = updated.collect();
    Ok(Envelope::new(json!({"added": added, "removed": removed, "updated": updated, "conflicting": []})))
}

/// `PUT …/scripts/{script}/domains/records`: these and no others.
pub(super) async fn domain_replace(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Json(body): Json<Records>,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    register.script(&name).await?;
    let wanted = all_wanted(body.origins)?;
    register.replace_domains(name.clone(), wanted, body.override_existing_origin).await?;
    let domains = register.store().meta().read(move |db| rows::domains_of_script(db, &name)).await?;
    Ok(Envelope::new(domains.iter().map(domain_answer).collect()))
}

fn all_wanted(origins: Vec<Origin>) -> Result<Vec<NewDomain>, WorkersError> {
    origins.into_iter().map(wanted).collect()
}

fn wanted(origin: Origin) -> Result<NewDomain, WorkersError> {
    if origin.previews_enabled == Some(true) {
        return Err(WorkersError::Unsupported("previews below a custom domain".to_owned()));
    }
    let zone = ZoneKey::new(origin.zone_id, origin.zone_name);
    NewDomain::new(zone, &origin.hostname, origin.enabled.unwrap_or(true))
}

fn domain_answer(domain: &Domain) -> Value {
    json!({
        "id": domain.id,
        "hostname": domain.hostname,
        "service": domain.script,
        "environment": ENVIRONMENT,
        "zone_id": domain.zone_id,
        "zone_name": domain.zone_name,
        "enabled": domain.is_enabled,
        "previews_enabled": false,
    })
}
