//! The only file that knows the register's tables, and the folder that holds modules by the SHA-256 of their bytes. A
//! module is written and synced before the row that names it; files without a row are swept when the register opens.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::Path,
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;
use model::{
    Binding, BindingKind, DeploymentId, Module, ModuleKind, ScriptName, Secret, VersionId, VersionMetadata,
    WorkerVersion,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::{
    Database, Failure, Migration, StoreError, Vault, atomic_write, create_folder,
    rusqlite::{Connection, OptionalExtension, Row, params},
    sync_folder,
};

use crate::{
    binding,
    error::WorkersError,
    model::{
        Deployment, LISTED_MAX, Manifest, Origin, PREVIEWS_MAX, SCRIPTS_MAX, Script, Subdomain, Version,
        rfc3339,
    },
    routes::{Preview, Published, Share},
};

/// The register's tables in `meta.sqlite`.
pub const MIGRATIONS: &[Migration] =
    &[Migration { name: "2026-11-21-workers-init", sql: include_str!("../migrations/2026-11-21-init.sql") }];

/// Only the server reads modules; they may hold what their author thought private.
const MODULE_MODE: u32 = 0o600;

/// Scripts, versions and deployments on disk; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    meta: Database,
    vault: Vault,
    modules: Arc<Path>,
}

/// One upload as it is committed: all of it or nothing.
#[derive(Debug)]
pub(crate) struct NewVersion {
    /// What will run.
    pub(crate) worker: WorkerVersion,
    /// What is shown of it; its number is given by the commit.
    pub(crate) version: Version,
    /// Script-level settings to merge.
    pub(crate) settings: Map<String, Value>,
    /// The deployment to make of it, if it is to answer requests at once.
    pub(crate) deployment: Option<Deployment>,
}

impl Store {
    /// Opens the folder of modules below `folder` and sweeps what no version names.
    pub(crate) async fn open(meta: Database, vault: Vault, folder: &Path) -> Result<Self, WorkersError> {
        let modules: Arc<Path> = folder.join("modules").into();
        let store = Self { meta, vault, modules };
        let named: HashSet<String> = store
            .meta
            .read(|db| {
                let mut statement = db.prepare("SELECT DISTINCT sha256 FROM workers_modules")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                rows.collect::<Result<_, _>>().map_err(WorkersError::from)
            })
            .await?;
        let folder = Arc::clone(&store.modules);
        blocking(move || sweep(&folder, &named)).await?;
        Ok(store)
    }

    pub(crate) async fn script(&self, name: &ScriptName) -> Result<Option<Script>, WorkersError> {
        let name = name.clone();
        self.meta.read(move |db| script(db, "name", name.as_str())).await
    }

    pub(crate) async fn script_by_tag(&self, tag: &str) -> Result<Option<Script>, WorkersError> {
        let tag = tag.to_owned();
        self.meta.read(move |db| script(db, "tag", &tag)).await
    }

    pub(crate) async fn scripts(&self) -> Result<Vec<Script>, WorkersError> {
        self.meta.read(all_scripts).await
    }

    pub(crate) async fn version(
        &self,
        name: &ScriptName,
        id: VersionId,
    ) -> Result<Option<Version>, WorkersError> {
        let name = name.clone();
        self.meta
            .read(move |db| {
                let sql = format!("{SELECT_VERSION} WHERE id = ?1 AND script = ?2");
                let row =
                    db.query_row(&sql, params![id.to_string(), name.as_str()], raw_version).optional()?;
                row.map(version_of).transpose()
            })
            .await
    }

    /// The newest `limit` versions, newest first.
    pub(crate) async fn versions(
        &self,
        name: &ScriptName,
        limit: usize,
    ) -> Result<Vec<Version>, WorkersError> {
        let name = name.clone();
        self.meta
            .read(move |db| {
                let sql = format!("{SELECT_VERSION} WHERE script = ?1 ORDER BY number DESC LIMIT ?2");
                let mut statement = db.prepare_cached(&sql)?;
                let rows = statement.query_map(params![name.as_str(), limit], raw_version)?;
                rows.map(|row| version_of(row?)).collect()
            })
            .await
    }

    pub(crate) async fn latest_version(&self, name: &ScriptName) -> Result<Option<Version>, WorkersError> {
        Ok(self.versions(name, 1).await?.pop())
    }

    /// Deployments, newest first; the first is the active one.
    pub(crate) async fn deployments(&self, name: &ScriptName) -> Result<Vec<Deployment>, WorkersError> {
        let name = name.clone();
        self.meta.read(move |db| deployments(db, name.as_str(), LISTED_MAX)).await
    }

    /// Draws an id whose first eight digits no other version of this script has.
    pub(crate) async fn draw_version_id(&self, name: &ScriptName) -> Result<VersionId, WorkersError> {
        let name = name.clone();
        self.meta
            .read(move |db| {
                let mut taken = db.prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM workers_versions WHERE script = ?1 AND substr(id, 1, 8) = ?2)",
                )?;
                loop {
                    let id = VersionId::random();
                    if !taken.query_row(params![name.as_str(), id.prefix()], |row| row.get::<_, bool>(0))? {
                        return Ok(id);
                    }
                }
            })
            .await
    }

    /// The bindings of a version, secrets included.
    pub(crate) async fn bindings(
        &self,
        name: &ScriptName,
        version: &Version,
    ) -> Result<Vec<Binding>, WorkersError> {
        let id = version.id;
        let sealed = self.meta.read(move |db| sealed_secrets(db, id)).await?;
        self.restore_bindings(name, version, &sealed)
    }

    /// A version whole, or `None` if it was deleted.
    pub(crate) async fn load(&self, id: VersionId) -> Result<Option<WorkerVersion>, WorkersError> {
        let rows = self.meta.read(move |db| loaded_rows(db, id)).await?;
        let Some((name, version, files, sealed)) = rows else {
            return Ok(None);
        };
        let bindings = self.restore_bindings(&name, &version, &sealed)?;
        let folder = Arc::clone(&self.modules);
        let modules =
            blocking(move || files.into_iter().map(|file| read_module(&folder, file)).collect()).await?;
        let metadata = VersionMetadata {
            tag: version.manifest.tag().to_owned(),
            timestamp: rfc3339(version.created_ms),
        };
        let Manifest { entry, compatibility, .. } = version.manifest;
        Ok(Some(WorkerVersion { script: name, id, metadata, compatibility, bindings, entry, modules }))
    }

    /// Makes an upload durable: first its modules' files, then all rows in one transaction.
    pub(crate) async fn commit(&self, new: NewVersion) -> Result<(Script, Version), WorkersError> {
        let NewVersion { worker, version, settings, deployment } = new;
        let sealed = self.seal_secrets(&worker);
        let folder = Arc::clone(&self.modules);
        let modules = worker.modules;
        let files = blocking(move || write_modules(&folder, modules)).await?;
        self.meta
            .write(move |db| {
                let mut script = upsert_script(db, &worker.script, version.created_ms, &settings)?;
                let version = insert_version(db, &mut script, version)?;
                insert_files(db, version.id, &files)?;
                insert_secrets(db, version.id, &sealed)?;
                if let Some(deployment) = &deployment {
                    insert_deployment(db, &script.name, deployment)?;
                }
                Ok((script, version))
            })
            .await
    }

    /// Makes `deployment` the active one.
    pub(crate) async fn deploy(
        &self,
        name: &ScriptName,
        deployment: Deployment,
    ) -> Result<Deployment, WorkersError> {
        let name = name.clone();
        self.meta
            .write(move |db| {
                for portion in &deployment.versions {
                    let id = portion.version_id;
                    let sql = "SELECT EXISTS (SELECT 1 FROM workers_versions WHERE id = ?1 AND script = ?2)";
                    if !db
                        .query_row(sql, params![id.to_string(), name.as_str()], |row| row.get::<_, bool>(0))?
                    {
                        return Err(WorkersError::VersionMissing(id));
                    }
                }
                insert_deployment(db, &name, &deployment)?;
                touch(db, &name, deployment.created_ms)?;
                Ok(deployment)
            })
            .await
    }

    /// Removes a script and all it has; says which versions that were.
    pub(crate) async fn delete(&self, name: &ScriptName) -> Result<Option<Vec<VersionId>>, WorkersError> {
        let name = name.clone();
        self.meta.write(move |db| delete_script(db, name.as_str())).await
    }

    pub(crate) async fn set_subdomain(
        &self,
        name: &ScriptName,
        subdomain: Subdomain,
        now_ms: u64,
    ) -> Result<(), WorkersError> {
        let name = name.clone();
        self.meta
            .write(move |db| {
                let sql = "UPDATE workers_scripts SET is_enabled = ?2, has_previews = ?3, modified_ms = ?4 WHERE name = ?1";
                let values = params![name.as_str(), subdomain.is_enabled, subdomain.has_previews, now_ms];
                if db.execute(sql, values)? == 0 {
                    return Err(WorkersError::ScriptMissing);
                }
                Ok(())
            })
            .await
    }

    /// Merges `patch` into the script's settings.
    pub(crate) async fn patch_settings(
        &self,
        name: &ScriptName,
        patch: Map<String, Value>,
        now_ms: u64,
    ) -> Result<Script, WorkersError> {
        let name = name.clone();
        self.meta
            .write(move |db| {
                if script(db, "name", name.as_str())?.is_none() {
                    return Err(WorkersError::ScriptMissing);
                }
                upsert_script(db, &name, now_ms, &patch)
            })
            .await
    }

    /// What the route table is made of.
    pub(crate) async fn published(&self) -> Result<Vec<Published>, WorkersError> {
        self.meta.read(published).await
    }

    fn seal_secrets(&self, worker: &WorkerVersion) -> Vec<(String, Vec<u8>)> {
        let seal = |binding: &Binding| match &binding.kind {
            BindingKind::SecretText(secret) => {
                let purpose = purpose(&worker.script, worker.id, &binding.name);
                Some((binding.name.clone(), self.vault.seal(&purpose, secret.reveal().as_bytes())))
            }
            _ => None,
        };
        worker.bindings.iter().filter_map(seal).collect()
    }

    fn restore_bindings(
        &self,
        name: &ScriptName,
        version: &Version,
        sealed: &HashMap<String, Vec<u8>>,
    ) -> Result<Vec<Binding>, WorkersError> {
        let mut texts = HashMap::new();
        for (binding, sealed) in sealed {
            let plain = self.vault.open_sealed(&purpose(name, version.id, binding), sealed)?;
            let text = String::from_utf8(plain).map_err(|_cause| WorkersError::Damaged("secret"))?;
            texts.insert(binding.as_str(), Secret::new(text));
        }
        let restore = |described| binding::restore(described, |name| texts.get(name).cloned());
        version.manifest.bindings.iter().map(restore).collect()
    }
}

/// A module as its row names it.
struct FileRow {
    name: String,
    kind: ModuleKind,
    sha256: String,
    size_bytes: usize,
}

type LoadedRows = (ScriptName, Version, Vec<FileRow>, HashMap<String, Vec<u8>>);

const SELECT_VERSION: &str =
    "SELECT id, number, created_ms, author, source, etag, startup_ms, manifest, script FROM workers_versions";

struct RawVersion {
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

fn raw_version(row: &Row<'_>) -> store::rusqlite::Result<RawVersion> {
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

fn version_of(raw: RawVersion) -> Result<Version, WorkersError> {
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

fn script(db: &Connection, column: &'static str, value: &str) -> Result<Option<Script>, WorkersError> {
    let sql = format!(
        "SELECT name, tag, created_ms, modified_ms, is_enabled, has_previews, settings \
         FROM workers_scripts WHERE {column} = ?1"
    );
    db.query_row(&sql, [value], raw_script).optional()?.map(script_of).transpose()
}

fn all_scripts(db: &Connection) -> Result<Vec<Script>, WorkersError> {
    let mut statement = db.prepare_cached(
        "SELECT name, tag, created_ms, modified_ms, is_enabled, has_previews, settings \
         FROM workers_scripts ORDER BY name",
    )?;
    let rows = statement.query_map([], raw_script)?;
    rows.map(|row| script_of(row?)).collect()
}

type RawScript = (String, String, u64, u64, bool, bool, String);

fn raw_script(row: &Row<'_>) -> store::rusqlite::Result<RawScript> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

fn script_of(raw: RawScript) -> Result<Script, WorkersError> {
    let (name, tag, created_ms, modified_ms, is_enabled, has_previews, settings) = raw;
    Ok(Script {
        name: parsed(&name, "script name")?,
        tag,
        created_ms,
        modified_ms,
        subdomain: Subdomain { is_enabled, has_previews },
        settings: json(&settings, "settings")?,
    })
}

fn upsert_script(
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
    };
    db.execute(
        "INSERT INTO workers_scripts (name, tag, created_ms, modified_ms, is_enabled, has_previews, settings, last_number) \
         VALUES (?1, ?2, ?3, ?3, FALSE, FALSE, '{}', 0)",
        params![name.as_str(), script.tag, now_ms],
    )?;
    Ok(script)
}

fn touch(db: &Connection, name: &ScriptName, now_ms: u64) -> Result<(), WorkersError> {
    db.execute(
        "UPDATE workers_scripts SET modified_ms = ?2 WHERE name = ?1",
        params![name.as_str(), now_ms],
    )?;
    Ok(())
}

fn insert_version(
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

fn insert_files(db: &Connection, version: VersionId, files: &[FileRow]) -> Result<(), WorkersError> {
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

fn insert_secrets(
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

fn insert_deployment(
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

fn deployments(db: &Connection, name: &str, limit: usize) -> Result<Vec<Deployment>, WorkersError> {
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

fn delete_script(db: &Connection, name: &str) -> Result<Option<Vec<VersionId>>, WorkersError> {
    let mut statement = db.prepare_cached("SELECT id FROM workers_versions WHERE script = ?1")?;
    let rows = statement.query_map([name], |row| row.get::<_, String>(0))?;
    let ids: Vec<VersionId> = rows.map(|id| parsed(&id?, "version id")).collect::<Result<_, _>>()?;
    for sql in [
        "DELETE FROM workers_modules WHERE version IN (SELECT id FROM workers_versions WHERE script = ?1)",
        "DELETE FROM workers_secrets WHERE version IN (SELECT id FROM workers_versions WHERE script = ?1)",
        "DELETE FROM workers_versions WHERE script = ?1",
        "DELETE FROM workers_deployments WHERE script = ?1",
    ] {
        db.execute(sql, [name])?;
    }
    let is_deleted = db.execute("DELETE FROM workers_scripts WHERE name = ?1", [name])? == 1;
    Ok(is_deleted.then_some(ids))
}

fn published(db: &Connection) -> Result<Vec<Published>, WorkersError> {
    let mut recent = db.prepare_cached(
        "SELECT id, json_extract(manifest, '$.annotations.\"workers/alias\"') FROM workers_versions \
         WHERE script = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let mut table = Vec::new();
    for script in all_scripts(db)? {
        let active = deployments(db, script.name.as_str(), 1)?.pop();
        let portions = active.map(|deployment| deployment.versions).unwrap_or_default();
        let shares = portions
            .into_iter()
            .map(|portion| Share { version: portion.version_id, percentage: portion.percentage })
            .collect();
        let mut previews = Vec::new();
        if script.subdomain.has_previews {
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
            previews,
        });
    }
    Ok(table)
}

fn sealed_secrets(db: &Connection, version: VersionId) -> Result<HashMap<String, Vec<u8>>, WorkersError> {
    let mut statement = db.prepare_cached("SELECT name, sealed FROM workers_secrets WHERE version = ?1")?;
    let rows = statement.query_map([version.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn loaded_rows(db: &Connection, id: VersionId) -> Result<Option<LoadedRows>, WorkersError> {
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
    Ok(Some((name, version, files, sealed_secrets(db, id)?)))
}

fn purpose(script: &ScriptName, version: VersionId, binding: &str) -> String {
    format!("workers/{script}/{version}/{binding}")
}

fn parsed<T: FromStr>(text: &str, what: &'static str) -> Result<T, WorkersError> {
    text.parse().map_err(|_cause| WorkersError::Damaged(what))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, WorkersError> {
    serde_json::from_str(text).map_err(|_cause| WorkersError::Damaged(what))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkersError> + Send + 'static,
) -> Result<T, WorkersError> {
    tokio::task::spawn_blocking(work).await.map_err(|_cause| WorkersError::Interrupted)?
}

/// Writes what is not there yet; on return all of it is on disk.
fn write_modules(folder: &Path, modules: Vec<Module>) -> Result<Vec<FileRow>, WorkersError> {
    let mut rows = Vec::with_capacity(modules.len());
    for module in modules {
        let sha256 = hex::encode(Sha256::digest(&module.content));
        let path = folder.join(&sha256);
        if !path.exists() {
            atomic_write(&path, &module.content, MODULE_MODE)?;
        }
        let size_bytes = module.content.len();
        rows.push(FileRow { name: module.name, kind: module.kind, sha256, size_bytes });
    }
    // For what was there: another upload may have just renamed it into place and not synced the folder yet.
    sync_folder(folder)?;
    Ok(rows)
}

fn read_module(folder: &Path, row: FileRow) -> Result<Module, WorkersError> {
    let path = folder.join(&row.sha256);
    let content = fs::read(&path).map_err(|error| StoreError::file("read", &path, &error))?;
    if content.len() != row.size_bytes || hex::encode(Sha256::digest(&content)) != row.sha256 {
        let cause = "its bytes are not those that were written".to_owned();
        return Err(StoreError::Corrupt(Failure { tried: "read", file: path, cause }).into());
    }
    Ok(Module { name: row.name, kind: row.kind, content: Bytes::from(content) })
}

/// Removes files that no version names: those of deleted Workers, and of uploads that a crash cut short.
fn sweep(folder: &Path, named: &HashSet<String>) -> Result<(), WorkersError> {
    create_folder(folder)?;
    let failed = |error: io::Error| StoreError::file("sweep the folder", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_named = entry.file_name().to_str().is_some_and(|name| named.contains(name));
        if !is_named {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
