//! The register's tables, row by row: each function is one step inside a transaction that its caller began.

use std::{collections::HashMap, str::FromStr};

use model::{DeploymentId, Objects, ScriptName, VersionId};
use serde_json::{Map, Value};
use store::rusqlite::{self, Connection, OptionalExtension, Row, params};

use super::{modules::FileRow, objects};
use crate::{
    error::WorkersError,
    model::{Deployment, Origin, PREVIEWS_MAX, SCRIPTS_MAX, Script, Subdomain, Version},
    routes::{Preview, Published, Share},
};

/// All rows of one version.
pub(super) struct LoadedRows {
    pub(super) script: ScriptName,
    pub(super) version: Version,
    pub(super) files: Vec<FileRow>,
    pub(super) sealed: HashMap<String, Vec<u8>>,
    pub(super) objects: Option<Objects>,
}

/// What a removed script leaves behind.
pub(crate) struct Removed {
    pub(crate) versions: Vec<VersionId>,
    /// Its modules; others may have the same.
    pub(crate) modules: Vec<String>,
}

pub(super) const SELECT_VERSION: &str =
    "SELECT id, number, created_ms, author, source, etag, startup_ms, manifest, script FROM workers_versions";

pub(super) struct RawVersion {
    id: String,
    number: u64,
    created_ms: u64,
    author: String,
    source: String,
    etag: String,
    startup_ms: u64,
    manifest: String,
    script: String,
}

pub(super) fn raw_version(row: &Row<'_>) -> rusqlite::Result<RawVersion> {
    Ok(RawVersion {
        id: row.get(0)?,
        number: row.get(1)?,
        created_ms: row.get(2)?,
        author: row.get(3)?,
        source: row.get(4)?,
        etag: row.get(5)?,
        startup_ms: row.get(6)?,
        manifest: row.get(7)?,
        script: row.get(8)?,
    })
}

pub(super) fn version_of(raw: RawVersion) -> Result<Version, WorkersError> {
    Ok(Version {
        id: parsed(&raw.id, "version id")?,
        number: raw.number,
        created_ms: raw.created_ms,
        origin: Origin { author: parsed(&raw.author, "token id")?, source: raw.source },
        etag: raw.etag,
        startup_ms: raw.startup_ms,
        manifest: json(&raw.manifest, "manifest")?,
    })
}

const SELECT_SCRIPT: &str = "SELECT name, tag, created_ms, modified_ms, is_enabled, has_previews, settings, \
     EXISTS (SELECT 1 FROM workers_object_namespaces WHERE script = name), migration_tag FROM workers_scripts";

pub(super) fn script(
    db: &Connection,
    column: &'static str,
    value: &str,
) -> Result<Option<Script>, WorkersError> {
    let sql = format!("{SELECT_SCRIPT} WHERE {column} = ?1");
    db.query_row(&sql, [value], raw_script).optional()?.map(script_of).transpose()
}

pub(super) fn all_scripts(db: &Connection) -> Result<Vec<Script>, WorkersError> {
    let mut statement = db.prepare_cached(&format!("{SELECT_SCRIPT} ORDER BY name"))?;
    let rows = statement.query_map([], raw_script)?;
    rows.map(|row| script_of(row?)).collect()
}

type RawScript = (String, String, u64, u64, bool, bool, String, bool, Option<String>);

fn raw_script(row: &Row<'_>) -> rusqlite::Result<RawScript> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn script_of(raw: RawScript) -> Result<Script, WorkersError> {
    let (name, tag, created_ms, modified_ms, is_enabled, has_previews, settings, has_objects, migration_tag) =
        raw;
    Ok(Script {
        name: parsed(&name, "script name")?,
        tag,
        created_ms,
        modified_ms,
        subdomain: Subdomain { is_enabled, has_previews },
        settings: json(&settings, "settings")?,
        has_objects,
        migration_tag,
    })
}

pub(super) fn upsert_script(
    db: &Connection,
    name: &ScriptName,
    now_ms: u64,
    patch: &Map<String, Value>,
) -> Result<Script, WorkersError> {
    let mut script = match script(db, "name", name.as_str())? {
        Some(script) => script,
        None => insert_script(db, name, now_ms)?,
    };
    script.modified_ms = now_ms;
    script.settings.extend(patch.clone());
    let settings = Value::Object(script.settings.clone()).to_string();
    db.execute(
        "UPDATE workers_scripts SET modified_ms = ?2, settings = ?3 WHERE name = ?1",
        params![name.as_str(), now_ms, settings],
    )?;
    Ok(script)
}

fn insert_script(db: &Connection, name: &ScriptName, now_ms: u64) -> Result<Script, WorkersError> {
    let count: usize = db.query_row("SELECT count(*) FROM workers_scripts", [], |row| row.get(0))?;
    if SCRIPTS_MAX <= count {
        return Err(WorkersError::TooManyScripts(SCRIPTS_MAX));
    }
    // As on Cloudflare, a new Worker answers nowhere until its client switches a host on.
    let subdomain = Subdomain { is_enabled: false, has_previews: false };
    let script = Script {
        name: name.clone(),
        tag: hex::encode(rand::random::<[u8; 16]>()),
        created_ms: now_ms,
        modified_ms: now_ms,
        subdomain,
        settings: Map::new(),
        has_objects: false,
        migration_tag: None,
    };
    db.execute(
        "INSERT INTO workers_scripts (name, tag, created_ms, modified_ms, is_enabled, has_previews, settings, last_number) \
         VALUES (?1, ?2, ?3, ?3, FALSE, FALSE, '{}', 0)",
        params![name.as_str(), script.tag, now_ms],
    )?;
    Ok(script)
}

pub(super) fn touch(db: &Connection, name: &ScriptName, now_ms: u64) -> Result<(), WorkersError> {
    db.execute(
        "UPDATE workers_scripts SET modified_ms = ?2 WHERE name = ?1",
        params![name.as_str(), now_ms],
    )?;
    Ok(())
}

pub(super) fn insert_version(
    db: &Connection,
    script: &mut Script,
    mut version: Version,
) -> Result<Version, WorkersError> {
    version.number = db.query_row(
        "UPDATE workers_scripts SET last_number = last_number + 1 WHERE name = ?1 RETURNING last_number",
        [script.name.as_str()],
        |row| row.get(0),
    )?;
    let manifest =
        serde_json::to_string(&version.manifest).map_err(|_cause| WorkersError::Damaged("manifest"))?;
    db.execute(
        "INSERT INTO workers_versions (id, script, number, created_ms, author, source, etag, startup_ms, manifest) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            version.id.to_string(),
            script.name.as_str(),
            version.number,
            version.created_ms,
            version.origin.author.as_str(),
            version.origin.source,
            version.etag,
            version.startup_ms,
            manifest,
        ],
    )?;
    Ok(version)
}

pub(super) fn insert_files(
    db: &Connection,
    version: VersionId,
    files: &[FileRow],
) -> Result<(), WorkersError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO workers_modules (version, position, name, kind, sha256, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (position, file) in files.iter().enumerate() {
        let kind =
            serde_json::to_string(&file.kind).map_err(|_cause| WorkersError::Damaged("module kind"))?;
        statement.execute(params![
            version.to_string(),
            position,
            file.name,
            kind,
            file.sha256,
            file.size_bytes
        ])?;
    }
    Ok(())
}

pub(super) fn insert_secrets(
    db: &Connection,
    version: VersionId,
    sealed: &[(String, Vec<u8>)],
) -> Result<(), WorkersError> {
    let mut statement =
        db.prepare_cached("INSERT INTO workers_secrets (version, name, sealed) VALUES (?1, ?2, ?3)")?;
    for (name, sealed) in sealed {
        statement.execute(params![version.to_string(), name, sealed])?;
    }
    Ok(())
}

pub(super) fn insert_deployment(
    db: &Connection,
    name: &ScriptName,
    deployment: &Deployment,
) -> Result<(), WorkersError> {
    let damaged = |_| WorkersError::Damaged("deployment");
    db.execute(
        "INSERT INTO workers_deployments (id, script, created_ms, author, source, versions, annotations) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            deployment.id.to_string(),
            name.as_str(),
            deployment.created_ms,
            deployment.origin.author.as_str(),
            deployment.origin.source,
            serde_json::to_string(&deployment.versions).map_err(damaged)?,
            serde_json::to_string(&deployment.annotations).map_err(damaged)?,
        ],
    )?;
    Ok(())
}

pub(super) fn deployments(
    db: &Connection,
    name: &str,
    limit: usize,
) -> Result<Vec<Deployment>, WorkersError> {
    let mut statement = db.prepare_cached(
        "SELECT id, created_ms, author, source, versions, annotations FROM workers_deployments \
         WHERE script = ?1 ORDER BY sequence DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![name, limit])?;
    let mut deployments = Vec::new();
    while let Some(row) = rows.next()? {
        let author: String = row.get(2)?;
        deployments.push(Deployment {
            id: parsed::<DeploymentId>(&row.get::<_, String>(0)?, "deployment id")?,
            created_ms: row.get(1)?,
            origin: Origin { author: parsed(&author, "token id")?, source: row.get(3)? },
            versions: json(&row.get::<_, String>(4)?, "deployment")?,
            annotations: json(&row.get::<_, String>(5)?, "deployment")?,
        });
    }
    Ok(deployments)
}

/// Removes all but the newest `versions_kept` versions and `deployments_kept` deployments; what the active deployment
/// names stays however old it is. Returns the modules of what was removed: others may have them too.
pub(super) fn prune(
    db: &Connection,
    name: &ScriptName,
    versions_kept: u64,
    deployments_kept: u64,
) -> Result<Vec<String>, WorkersError> {
    db.execute(
        "DELETE FROM workers_deployments WHERE script = ?1 AND sequence NOT IN \
         (SELECT sequence FROM workers_deployments WHERE script = ?1 ORDER BY sequence DESC LIMIT ?2)",
        params![name.as_str(), deployments_kept],
    )?;
    let active: Vec<VersionId> = match deployments(db, name.as_str(), 1)?.pop() {
        Some(deployment) => deployment.versions.iter().map(|portion| portion.version_id).collect(),
        None => Vec::new(),
    };
    let mut statement = db.prepare_cached(
        "SELECT id FROM workers_versions WHERE script = ?1 AND number <= \
         (SELECT last_number FROM workers_scripts WHERE name = ?1) - ?2",
    )?;
    let rows = statement.query_map(params![name.as_str(), versions_kept], |row| row.get::<_, String>(0))?;
    let mut dropped = Vec::new();
    for id in rows {
        let id: VersionId = parsed(&id?, "version id")?;
        if active.contains(&id) {
            continue;
        }
        dropped.extend(module_hashes(db, "version = ?1", &id.to_string())?);
        for sql in [
            "DELETE FROM workers_modules WHERE version = ?1",
            "DELETE FROM workers_secrets WHERE version = ?1",
            "DELETE FROM workers_versions WHERE id = ?1",
        ] {
            db.execute(sql, [id.to_string()])?;
        }
    }
    Ok(dropped)
}

/// Removes a script; `None` if there was none.
pub(super) fn delete_script(db: &Connection, name: &str) -> Result<Option<Removed>, WorkersError> {
    let mut statement = db.prepare_cached("SELECT id FROM workers_versions WHERE script = ?1")?;
    let rows = statement.query_map([name], |row| row.get::<_, String>(0))?;
    let ids: Vec<VersionId> = rows.map(|id| parsed(&id?, "version id")).collect::<Result<_, _>>()?;
    let of_script = "version IN (SELECT id FROM workers_versions WHERE script = ?1)";
    let dropped = module_hashes(db, of_script, name)?;
    for sql in [
        "DELETE FROM workers_modules WHERE version IN (SELECT id FROM workers_versions WHERE script = ?1)",
        "DELETE FROM workers_secrets WHERE version IN (SELECT id FROM workers_versions WHERE script = ?1)",
        "DELETE FROM workers_versions WHERE script = ?1",
        "DELETE FROM workers_deployments WHERE script = ?1",
        "DELETE FROM workers_zone_routes WHERE script = ?1",
        "DELETE FROM workers_domains WHERE script = ?1",
        "DELETE FROM workers_object_namespaces WHERE script = ?1",
        "DELETE FROM workers_object_transfers WHERE ?1 IN (target, source)",
    ] {
        db.execute(sql, [name])?;
    }
    let is_deleted = db.execute("DELETE FROM workers_scripts WHERE name = ?1", [name])? == 1;
    Ok(is_deleted.then_some(Removed { versions: ids, modules: dropped }))
}

fn module_hashes(db: &Connection, condition: &'static str, value: &str) -> Result<Vec<String>, WorkersError> {
    let sql = format!("SELECT DISTINCT sha256 FROM workers_modules WHERE {condition}");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([value], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those of `hashes` that no version names.
pub(super) fn unnamed(db: &Connection, hashes: Vec<String>) -> Result<Vec<String>, WorkersError> {
    let mut is_unnamed =
        db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM workers_modules WHERE sha256 = ?1)")?;
    let mut gone = Vec::new();
    for sha256 in hashes {
        if is_unnamed.query_row([&sha256], |row| row.get(0))? {
            gone.push(sha256);
        }
    }
    Ok(gone)
}

pub(super) fn published(db: &Connection) -> Result<Vec<Published>, WorkersError> {
    let mut recent = db.prepare_cached(
        "SELECT id, json_extract(manifest, '$.annotations.\"workers/alias\"') FROM workers_versions \
         WHERE script = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let mut table = Vec::new();
    for script in all_scripts(db)? {
        let active = deployments(db, script.name.as_str(), 1)?.pop();
        let classes = objects::classes(db, script.name.as_str())?;
        let owner = match &active {
            Some(active) if !classes.is_empty() => objects::owner(db, active)?,
            Some(_) | None => None,
        };
        let portions = active.map(|deployment| deployment.versions).unwrap_or_default();
        let shares = portions
            .into_iter()
            .map(|portion| Share { version: portion.version_id, percentage: portion.percentage })
            .collect();
        let mut previews = Vec::new();
        if script.subdomain.has_previews && !script.has_objects {
            let mut rows = recent.query(params![script.name.as_str(), PREVIEWS_MAX])?;
            while let Some(row) = rows.next()? {
                let version = parsed(&row.get::<_, String>(0)?, "version id")?;
                previews.push(Preview { version, alias: row.get(1)? });
            }
        }
        table.push(Published {
            script: script.name,
            is_enabled: script.subdomain.is_enabled,
            shares,
            owner,
            namespaces: classes.into_iter().map(|class| class.namespace).collect(),
            previews,
        });
    }
    Ok(table)
}

pub(super) fn sealed_secrets(
    db: &Connection,
    version: VersionId,
) -> Result<HashMap<String, Vec<u8>>, WorkersError> {
    let mut statement = db.prepare_cached("SELECT name, sealed FROM workers_secrets WHERE version = ?1")?;
    let rows = statement.query_map([version.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn loaded_rows(db: &Connection, id: VersionId) -> Result<Option<LoadedRows>, WorkersError> {
    let sql = format!("{SELECT_VERSION} WHERE id = ?1");
    let Some(raw) = db.query_row(&sql, [id.to_string()], raw_version).optional()? else {
        return Ok(None);
    };
    let name = parsed(&raw.script, "script name")?;
    let version = version_of(raw)?;
    let mut statement = db.prepare_cached(
        "SELECT name, kind, sha256, size_bytes FROM workers_modules WHERE version = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = json(&row.get::<_, String>(1)?, "module kind")?;
        files.push(FileRow { name: row.get(0)?, kind, sha256: row.get(2)?, size_bytes: row.get(3)? });
    }
    let (sealed, objects) = (sealed_secrets(db, id)?, objects::of_version(db, &name, id)?);
    Ok(Some(LoadedRows { script: name, version, files, sealed, objects }))
}

pub(super) fn parsed<T: FromStr>(text: &str, what: &'static str) -> Result<T, WorkersError> {
    text.parse().map_err(|_cause| WorkersError::Damaged(what))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, WorkersError> {
    serde_json::from_str(text).map_err(|_cause| WorkersError::Damaged(what))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Compatibility, DeploymentId, Entry, TokenId, VersionId};
    use serde_json::Map;
    use store::rusqlite::Connection;

    use super::{deployments, insert_deployment, insert_version, prune, upsert_script};
    use crate::model::{Deployment, Manifest, Origin, Portion, Version};

    #[test]
    fn old_versions_go_but_never_one_that_answers() {
        let db = Connection::open_in_memory().unwrap();
        crate::store::MIGRATIONS.iter().for_each(|step| db.execute_batch(step.sql).unwrap());
        let origin = Origin { author: TokenId::random(), source: "api".to_owned() };
        let mut script = upsert_script(&db, &"hello".parse().unwrap(), 1, &Map::new()).unwrap();
        let mut ids = Vec::new();
        for _ in 0..5 {
            let manifest = Manifest {
                entry: Entry::Module("index.js".to_owned()),
                compatibility: Compatibility { date: "2026-01-01".to_owned(), flags: Vec::new() },
                bindings: Vec::new(),
                annotations: BTreeMap::new(),
                hints: Map::new(),
                classes: Vec::new(),
                exports: None,
            };
            let (id, origin) = (VersionId::random(), origin.clone());
            let version = Version {
                id,
                number: 0,
                created_ms: 1,
                origin,
                etag: String::new(),
                startup_ms: 1,
                manifest,
            };
            insert_version(&db, &mut script, version).unwrap();
            ids.push(id);
        }
        for version in [ids[4], ids[2], ids[0]] {
            let versions = vec![Portion { version_id: version, percentage: 100.0 }];
            let (id, origin) = (DeploymentId::random(), origin.clone());
            let deployment = Deployment { id, created_ms: 1, origin, versions, annotations: BTreeMap::new() };
            insert_deployment(&db, &script.name, &deployment).unwrap();
        }
        prune(&db, &script.name, 2, 2).unwrap();
        let mut statement = db.prepare("SELECT number FROM workers_versions ORDER BY number").unwrap();
        let numbers: Vec<u64> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(numbers, [1, 4, 5], "the first answers requests");
        assert_eq!(deployments(&db, "hello", 10).unwrap().len(), 2);
    }
}
