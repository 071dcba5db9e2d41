//! What the register does about zones, their routes and custom domains. Each change is one transaction, then published.

use std::sync::Arc;

use ::model::ScriptName;

use crate::{error::WorkersError, pattern::is_host, register::Register, store::zones as rows};

/// Most zones; only there to have a limit.
pub(crate) const ZONES_MAX: usize = 1_000;

/// Most routes of a zone (Cloudflare: Workers limits).
pub(crate) const ROUTES_MAX: usize = 1_000;

/// Most custom domains of a zone (Cloudflare: Workers limits).
pub(crate) const DOMAINS_MAX: usize = 100;

/// A domain below which routes and custom domains may be.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    /// 32 hex digits.
    pub(crate) id: String,
    /// In lower case.
    pub(crate) name: String,
    /// When it was first known.
    pub(crate) created_ms: u64,
}

/// How a caller says which zone it means.
#[derive(Debug, Clone)]
pub(crate) enum ZoneKey {
    /// By its id.
    Id(String),
    /// By its name.
    Name(String),
    /// The one that the host belongs to.
    OfHost,
}

impl ZoneKey {
    /// As uploads and changesets name it; empty counts as not said.
    pub(crate) fn new(id: Option<String>, name: Option<String>) -> Self {
        let given = |text: &String| !text.is_empty();
        match (id.filter(given), name.filter(given)) {
            (Some(id), _) => Self::Id(id),
            (None, Some(name)) => Self::Name(name.to_ascii_lowercase()),
            (None, None) => Self::OfHost,
        }
    }
}

/// A pattern and the Worker that answers what it matches.
#[derive(Debug, Clone)]
pub(crate) struct ZoneRoute {
    /// 32 hex digits.
    pub(crate) id: String,
    /// The zone it is in.
    pub(crate) zone_name: String,
    /// As its author wrote it.
    pub(crate) pattern: String,
    /// Nobody answers if there is none.
    pub(crate) script: Option<ScriptName>,
}

impl ZoneRoute {
    /// A route with an id of its own; the store finds its zone.
    pub(crate) fn new(pattern: String, script: Option<ScriptName>) -> Self {
        Self { id: random_id(), zone_name: String::new(), pattern, script }
    }
}

/// A host that belongs to a Worker whole.
#[derive(Debug, Clone)]
pub(crate) struct Domain {
    /// 32 hex digits.
    pub(crate) id: String,
    /// The zone it is in.
    pub(crate) zone_id: String,
    /// That zone's name.
    pub(crate) zone_name: String,
    /// In lower case.
    pub(crate) hostname: String,
    /// Who answers.
    pub(crate) script: ScriptName,
    /// Nobody answers while it is not.
    pub(crate) is_enabled: bool,
}

/// A custom domain that somebody wants.
#[derive(Debug)]
pub(crate) struct NewDomain {
    /// Its id if the host is new.
    pub(crate) id: String,
    pub(crate) zone: ZoneKey,
    pub(crate) hostname: String,
    pub(crate) is_enabled: bool,
}

impl NewDomain {
    pub(crate) fn new(zone: ZoneKey, hostname: &str, is_enabled: bool) -> Result<Self, WorkersError> {
        if !is_host(hostname) {
            return Err(WorkersError::DomainInvalid(hostname.to_owned()));
        }
        Ok(Self { id: random_id(), zone, hostname: hostname.to_ascii_lowercase(), is_enabled })
    }
}

/// What giving a Worker a list of custom domains would change.
#[derive(Debug, Default)]
pub(crate) struct DomainChanges {
    /// Hosts that nobody has yet.
    pub(crate) added: Vec<String>,
    /// This Worker's that are not on the list.
    pub(crate) removed: Vec<Domain>,
    /// Those on the list that are somebody's already, and whether anything about them changes.
    pub(crate) updated: Vec<(Domain, bool)>,
}

impl Register {
    /// Makes sure that the zones of the settings file are there. A zone that is keeps its id.
    pub(crate) async fn ensure_zones(&self, names: &[String]) -> Result<(), WorkersError> {
        let zones: Vec<Zone> = names.iter().map(|name| self.new_zone(name)).collect::<Result<_, _>>()?;
        let ensure = move |db: &_| {
            for zone in &zones {
                if rows::zone_by(db, "name", &zone.name)?.is_none() {
                    rows::insert_zone(db, zone)?;
                }
            }
            Ok(())
        };
        self.store().meta().write(ensure).await
    }

    pub(crate) async fn zone_create(self: &Arc<Self>, name: &str) -> Result<Zone, WorkersError> {
        let zone = self.new_zone(name)?;
        let created = zone.clone();
        self.change_zones(move |db| rows::insert_zone(db, &zone)).await?;
        tracing::info!(zone = created.name, "Created zone `{}`", created.name);
        Ok(created)
    }

    pub(crate) async fn zone_delete(self: &Arc<Self>, id: String) -> Result<(), WorkersError> {
        let line = format!("Deleted zone {id} with its routes and custom domains");
        self.change_zones(move |db| rows::delete_zone(db, &id)).await?;
        tracing::info!("{line}");
        Ok(())
    }

    /// Gives a Worker these routes and no others.
    pub(crate) async fn replace_routes(
        self: &Arc<Self>,
        name: ScriptName,
        wanted: Vec<(ZoneKey, ZoneRoute)>,
    ) -> Result<(), WorkersError> {
        let patterns: Vec<&str> = wanted.iter().map(|(_, route)| route.pattern.as_str()).collect();
        let line = format!("Worker `{name}` has the routes {patterns:?}");
        self.change_zones(move |db| rows::replace_routes(db, &name, wanted)).await?;
        tracing::info!("{line}");
        Ok(())
    }

    pub(crate) async fn put_route(
        self: &Arc<Self>,
        zone: String,
        route: ZoneRoute,
    ) -> Result<(), WorkersError> {
        self.change_zones(move |db| rows::put_route(db, &ZoneKey::Id(zone), &route)).await
    }

    pub(crate) async fn delete_route(self: &Arc<Self>, zone: String, id: String) -> Result<(), WorkersError> {
        self.change_zones(move |db| rows::delete_route(db, &zone, &id)).await
    }

    /// What [`Register::replace_domains`] would do.
    pub(crate) async fn domain_changes(
        &self,
        name: ScriptName,
        wanted: Vec<NewDomain>,
        is_replacing: bool,
    ) -> Result<DomainChanges, WorkersError> {
        let compare = move |db: &_| {
            let mut changes = DomainChanges::default();
            for new in &wanted {
                match rows::domain_of_host(db, &new.hostname)? {
                    None => changes.added.push(new.hostname.clone()),
                    Some(old) => {
                        let is_modified = old.script != name || old.is_enabled != new.is_enabled;
                        changes.updated.push((old, is_modified));
                    }
                }
            }
            if is_replacing {
                changes.removed = rows::domains_of_script(db, &name)?;
                changes.removed.retain(|old| wanted.iter().all(|new| new.hostname != old.hostname));
            }
            Ok(changes)
        };
        self.store().meta().read(compare).await
    }

    /// Gives a Worker these custom domains and no others.
    pub(crate) async fn replace_domains(
        self: &Arc<Self>,
        name: ScriptName,
        wanted: Vec<NewDomain>,
        may_override: bool,
    ) -> Result<(), WorkersError> {
        let hosts: Vec<&str> = wanted.iter().map(|new| new.hostname.as_str()).collect();
        let line = format!("Worker `{name}` has the custom domains {hosts:?}");
        self.change_zones(move |db| rows::replace_domains(db, &name, &wanted, may_override)).await?;
        tracing::info!("{line}");
        Ok(())
    }

    pub(crate) async fn put_domain(
        self: &Arc<Self>,
        name: ScriptName,
        new: NewDomain,
        may_override: bool,
    ) -> Result<Domain, WorkersError> {
        self.change_zones(move |db| {
            rows::put_domain(db, &name, &new, may_override)?;
            rows::domain_of_host(db, &new.hostname)?.ok_or(WorkersError::DomainMissing)
        })
        .await
    }

    pub(crate) async fn delete_domain(self: &Arc<Self>, id: String) -> Result<(), WorkersError> {
        self.change_zones(move |db| rows::delete_domain(db, &id)).await
    }

    fn new_zone(&self, name: &str) -> Result<Zone, WorkersError> {
        if !is_host(name) {
            return Err(WorkersError::ZoneNameInvalid(name.to_owned()));
        }
        Ok(Zone { id: random_id(), name: name.to_ascii_lowercase(), created_ms: self.now_ms() })
    }

    pub(crate) async fn change_zones<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&::store::rusqlite::Connection) -> Result<T, WorkersError> + Send + 'static,
    ) -> Result<T, WorkersError> {
        self.to_the_end(move |register| async move {
            let changed = register.store().meta().write(change).await?;
            register.publish().await?;
            Ok(changed)
        })
        .await
    }
}

fn random_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
