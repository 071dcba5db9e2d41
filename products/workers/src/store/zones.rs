//! Zones, their routes and custom domains, row by row: each function is one step inside a transaction that its caller
//! began.

use model::ScriptName;
use store::rusqlite::{self, Connection, OptionalExtension, Row, ToSql, params};

use super::{buckets, rows::script};
use crate::{
    error::WorkersError,
    pattern::{Pattern, PatternError, endings},
    zone_table::ZoneLayout,
    zones::{DOMAINS_MAX, Domain, NewDomain, ROUTES_MAX, ZONES_MAX, Zone, ZoneKey, ZoneRoute},
};

const SELECT_ROUTE: &str = "SELECT r.id, z.name, r.pattern, r.script FROM workers_zone_routes r JOIN workers_zones z ON z.id = r.zone";

const SELECT_DOMAIN: &str = "SELECT d.id, z.id, z.name, d.hostname, d.script, d.is_enabled \
     FROM workers_domains d JOIN workers_zones z ON z.id = d.zone";

pub(crate) fn all_zones(db: &Connection) -> Result<Vec<Zone>, WorkersError> {
    let mut statement = db.prepare_cached("SELECT id, name, created_ms FROM workers_zones ORDER BY name")?;
    let rows = statement.query_map([], raw_zone)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn zone(db: &Connection, id: &str) -> Result<Zone, WorkersError> {
    zone_by(db, "id", id)?.ok_or(WorkersError::ZoneMissing)
}

pub(crate) fn insert_zone(db: &Connection, zone: &Zone) -> Result<(), WorkersError> {
    if zone_by(db, "name", &zone.name)?.is_some() {
        return Err(WorkersError::ZoneTaken(zone.name.clone()));
    }
    let count: usize = db.query_row("SELECT count(*) FROM workers_zones", [], |row| row.get(0))?;
    if ZONES_MAX <= count {
        return Err(WorkersError::TooMany(ZONES_MAX, "zones on this server"));
    }
    db.execute(
        "INSERT INTO workers_zones (id, name, created_ms) VALUES (?1, ?2, ?3)",
        params![zone.id, zone.name, zone.created_ms],
    )?;
    Ok(())
}

/// Removes a zone with its routes and custom domains.
pub(crate) fn delete_zone(db: &Connection, id: &str) -> Result<(), WorkersError> {
    zone(db, id)?;
    for sql in [
        "DELETE FROM workers_zone_routes WHERE zone = ?1",
        "DELETE FROM workers_domains WHERE zone = ?1",
        "DELETE FROM workers_bucket_domains WHERE zone = ?1",
        "DELETE FROM workers_zones WHERE id = ?1",
    ] {
        db.execute(sql, [id])?;
    }
    Ok(())
}

pub(crate) fn routes_of_zone(db: &Connection, zone: &str) -> Result<Vec<ZoneRoute>, WorkersError> {
    routes_where(db, "r.zone = ?1", &[&zone])
}

pub(crate) fn routes_of_script(db: &Connection, name: &ScriptName) -> Result<Vec<ZoneRoute>, WorkersError> {
    routes_where(db, "r.script = ?1", &[&name.as_str()])
}

pub(crate) fn route(db: &Connection, zone: &str, id: &str) -> Result<ZoneRoute, WorkersError> {
    routes_where(db, "r.zone = ?1 AND r.id = ?2", &[&zone, &id])?.pop().ok_or(WorkersError::RouteMissing)
}

/// Adds a route, or puts it in the place of the one with its id.
pub(crate) fn put_route(db: &Connection, key: &ZoneKey, route: &ZoneRoute) -> Result<(), WorkersError> {
    let pattern = Pattern::parse(&route.pattern)?;
    let zone = match zone_for(db, key, pattern.zone_host()) {
        Ok(zone) => zone,
        Err(WorkersError::ZoneUnknown(_)) => {
            return Err(PatternError::OutsideZone(route.pattern.clone()).into());
        }
        Err(error) => return Err(error),
    };
    if let Some(name) = &route.script
        && script(db, "name", name.as_str())?.is_none()
    {
        return Err(WorkersError::RouteScriptMissing);
    }
    let canonical = pattern.to_string();
    let other = routes_where(db, "r.canonical = ?1 AND r.id <> ?2", &[&canonical, &route.id])?.pop();
    if let Some(other) = other {
        return Err(WorkersError::RouteTaken { pattern: other.pattern, script: other.script });
    }
    db.execute("DELETE FROM workers_zone_routes WHERE id = ?1", [&route.id])?;
    let sql = "SELECT count(*) FROM workers_zone_routes WHERE zone = ?1";
    let count: usize = db.query_row(sql, [&zone.id], |row| row.get(0))?;
    if ROUTES_MAX <= count {
        return Err(WorkersError::TooMany(ROUTES_MAX, "routes in this zone"));
    }
    db.execute(
        "INSERT INTO workers_zone_routes (id, zone, pattern, canonical, script) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![route.id, zone.id, route.pattern, canonical, route.script.as_ref().map(ScriptName::as_str)],
    )?;
    Ok(())
}

/// Gives a Worker these routes and no others; a route that stays keeps its id.
pub(crate) fn replace_routes(
    db: &Connection,
    name: &ScriptName,
    wanted: Vec<(ZoneKey, ZoneRoute)>,
) -> Result<(), WorkersError> {
    let before = routes_of_script(db, name)?;
    db.execute("DELETE FROM workers_zone_routes WHERE script = ?1", [name.as_str()])?;
    for (key, mut route) in wanted {
        if let Some(old) = before.iter().find(|old| old.pattern == route.pattern) {
            route.id.clone_from(&old.id);
        }
        put_route(db, &key, &route)?;
    }
    Ok(())
}

pub(crate) fn delete_route(db: &Connection, zone_id: &str, id: &str) -> Result<(), WorkersError> {
    zone(db, zone_id)?;
    let sql = "DELETE FROM workers_zone_routes WHERE zone = ?1 AND id = ?2";
    if db.execute(sql, [zone_id, id])? == 0 {
        return Err(WorkersError::RouteMissing);
    }
    Ok(())
}

pub(crate) fn all_domains(db: &Connection) -> Result<Vec<Domain>, WorkersError> {
    domains_where(db, "TRUE", &[])
}

pub(crate) fn domain(db: &Connection, id: &str) -> Result<Domain, WorkersError> {
    domains_where(db, "d.id = ?1", &[&id])?.pop().ok_or(WorkersError::DomainMissing)
}

pub(crate) fn domain_of_host(db: &Connection, hostname: &str) -> Result<Option<Domain>, WorkersError> {
    Ok(domains_where(db, "d.hostname = ?1", &[&hostname])?.pop())
}

pub(crate) fn domains_of_script(db: &Connection, name: &ScriptName) -> Result<Vec<Domain>, WorkersError> {
    domains_where(db, "d.script = ?1", &[&name.as_str()])
}

/// Gives a host to a Worker. One that another Worker has is only taken away from it if `may_override`.
pub(crate) fn put_domain(
    db: &Connection,
    name: &ScriptName,
    new: &NewDomain,
    may_override: bool,
) -> Result<(), WorkersError> {
    if script(db, "name", name.as_str())?.is_none() {
        return Err(WorkersError::ScriptMissing);
    }
    let zone = zone_for(db, &new.zone, &new.hostname)?;
    if buckets::of_host(db, &new.hostname)?.is_some() {
        return Err(WorkersError::DomainInUse(new.hostname.clone()));
    }
    let old = domain_of_host(db, &new.hostname)?;
    if !may_override && old.as_ref().is_some_and(|old| old.script != *name) {
        return Err(WorkersError::DomainTaken(new.hostname.clone()));
    }
    let sql = "SELECT count(*) FROM workers_domains WHERE zone = ?1";
    let count: usize = db.query_row(sql, [&zone.id], |row| row.get(0))?;
    if old.is_none() && DOMAINS_MAX <= count {
        return Err(WorkersError::TooMany(DOMAINS_MAX, "custom domains in this zone"));
    }
    db.execute(
        "INSERT INTO workers_domains (id, zone, hostname, script, is_enabled) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (hostname) DO UPDATE SET zone = ?2, script = ?4, is_enabled = ?5",
        params![new.id, zone.id, new.hostname, name.as_str(), new.is_enabled],
    )?;
    Ok(())
}

/// Gives a Worker these custom domains and no others.
pub(crate) fn replace_domains(
    db: &Connection,
    name: &ScriptName,
    wanted: &[NewDomain],
    may_override: bool,
) -> Result<(), WorkersError> {
    for old in domains_of_script(db, name)? {
        if wanted.iter().all(|new| new.hostname != old.hostname) {
            delete_domain(db, &old.id)?;
        }
    }
    wanted.iter().try_for_each(|new| put_domain(db, name, new, may_override))
}

pub(crate) fn delete_domain(db: &Connection, id: &str) -> Result<(), WorkersError> {
    if db.execute("DELETE FROM workers_domains WHERE id = ?1", [id])? == 0 {
        return Err(WorkersError::DomainMissing);
    }
    Ok(())
}

/// What the route table is made of.
pub(crate) fn layout(db: &Connection) -> Result<ZoneLayout, WorkersError> {
    let zones = all_zones(db)?.into_iter().map(|zone| zone.name).collect();
    let mut routes = Vec::new();
    for route in routes_where(db, "TRUE", &[])? {
        let pattern =
            Pattern::parse(&route.pattern).map_err(|_cause| WorkersError::Damaged("route pattern"))?;
        routes.push((route.zone_name, pattern, route.script));
    }
    let domains = all_domains(db)?.into_iter().filter(|domain| domain.is_enabled);
    Ok(ZoneLayout {
        zones,
        routes,
        domains: domains.map(|domain| (domain.hostname, domain.script)).collect(),
        buckets: buckets::all(db)?
            .into_iter()
            .filter(|domain| domain.is_enabled)
            .map(|domain| (domain.hostname, domain.bucket))
            .collect(),
    })
}

/// The zone that holds `host`, which must be the one that the caller named, if it named one.
pub(crate) fn zone_for(db: &Connection, key: &ZoneKey, host: &str) -> Result<Zone, WorkersError> {
    let mut found = None;
    for ending in endings(host) {
        found = zone_by(db, "name", ending)?;
        if found.is_some() {
            break;
        }
    }
    let named = match key {
        ZoneKey::Id(id) => Some(zone(db, id)?),
        ZoneKey::Name(name) => {
            Some(zone_by(db, "name", name)?.ok_or_else(|| WorkersError::ZoneUnknown(name.clone()))?)
        }
        ZoneKey::OfHost => None,
    };
    let is_named = |zone: &Zone| named.as_ref().is_none_or(|named| named.id == zone.id);
    found.filter(is_named).ok_or_else(|| WorkersError::ZoneUnknown(host.to_owned()))
}

pub(crate) fn zone_by(
    db: &Connection,
    column: &'static str,
    value: &str,
) -> Result<Option<Zone>, WorkersError> {
    let sql = format!("SELECT id, name, created_ms FROM workers_zones WHERE {column} = ?1");
    Ok(db.query_row(&sql, [value], raw_zone).optional()?)
}

fn raw_zone(row: &Row<'_>) -> rusqlite::Result<Zone> {
    Ok(Zone { id: row.get(0)?, name: row.get(1)?, created_ms: row.get(2)? })
}

fn routes_where(
    db: &Connection,
    condition: &'static str,
    values: &[&dyn ToSql],
) -> Result<Vec<ZoneRoute>, WorkersError> {
    let mut statement = db.prepare_cached(&format!("{SELECT_ROUTE} WHERE {condition} ORDER BY r.rowid"))?;
    let mut rows = statement.query(values)?;
    let mut routes = Vec::new();
    while let Some(row) = rows.next()? {
        let script: Option<String> = row.get(3)?;
        let script = script.map(|name| script_name(&name)).transpose()?;
        routes.push(ZoneRoute { id: row.get(0)?, zone_name: row.get(1)?, pattern: row.get(2)?, script });
    }
    Ok(routes)
}

fn domains_where(
    db: &Connection,
    condition: &'static str,
    values: &[&dyn ToSql],
) -> Result<Vec<Domain>, WorkersError> {
    let mut statement =
        db.prepare_cached(&format!("{SELECT_DOMAIN} WHERE {condition} ORDER BY d.hostname"))?;
    let mut rows = statement.query(values)?;
    let mut domains = Vec::new();
    while let Some(row) = rows.next()? {
        domains.push(Domain {
            id: row.get(0)?,
            zone_id: row.get(1)?,
            zone_name: row.get(2)?,
            hostname: row.get(3)?,
            script: script_name(&row.get::<_, String>(4)?)?,
            is_enabled: row.get(5)?,
        });
    }
    Ok(domains)
}

fn script_name(text: &str) -> Result<ScriptName, WorkersError> {
    text.parse().map_err(|_cause| WorkersError::Damaged("script name"))
}
