//! The only folder that knows the register's tables and files. A module is written and synced before the row that names
//! it, and removed after the last row that named it is gone; what a crash leaves is swept when the register opens.

pub(crate) mod buckets;
mod modules;
pub(crate) mod objects;
mod rows;
pub(crate) mod zones;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use model::{
    Binding, BindingKind, ObjectClass, ObjectNamespaceId, ObjectsRole, ScriptName, Secret, VersionId,
    VersionMetadata, WorkerVersion,
};
use serde_json::{Map, Value};
use store::{
    Database, Migration, Vault,
    rusqlite::{OptionalExtension, params},
};
use tokio::sync::RwLock;

use self::{
    modules::{read_module, remove_modules, sweep, write_modules},
    objects::{ObjectNamespace, write_classes},
    rows::{
        LoadedRows, Removed, SELECT_VERSION, all_scripts, delete_script, deployments, insert_deployment,
        insert_files, insert_secrets, insert_version, loaded_rows, prune, published, raw_version, script,
        sealed_secrets, touch, unnamed, upsert_script, version_of,
    },
};
use v4::rfc3339;

use crate::{
    binding,
    classes::Classes,
    error::WorkersError,
    exports::Hint,
    model::{
        DEPLOYMENTS_KEPT_MAX, Deployment, LISTED_MAX, Manifest, Script, Subdomain, VERSIONS_KEPT_MAX, Version,
    },
    routes::Published,
};

/// The register's tables in `meta.sqlite`.
pub const MIGRATIONS: &[Migration] = &[
    Migration { name: "2026-11-21-workers-init", sql: include_str!("../../migrations/2026-11-21-init.sql") },
    Migration {
        name: "2026-11-21-workers-zones",
        sql: include_str!("../../migrations/2026-11-21-zones.sql"),
    },
    Migration {
        name: "2026-11-26-workers-modules",
        sql: include_str!("../../migrations/2026-11-26-modules.sql"),
    },
    Migration {
        name: "2026-11-27-workers-bucket-domains",
        sql: include_str!("../../migrations/2026-11-27-bucket-domains.sql"),
    },
    Migration {
        name: "2026-11-27-workers-objects",
        sql: include_str!("../../migrations/2026-11-27-objects.sql"),
    },
    Migration {
        name: "2026-11-27-workers-object-transfers",
        sql: include_str!("../../migrations/2026-11-27-object-transfers.sql"),
    },
];

/// Scripts, versions and deployments on disk; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    meta: Database,
    vault: Vault,
    modules: Arc<Path>,
    // Read while files are about to be named or are being read, written while files without a name are removed.
    collecting: Arc<RwLock<()>>,
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
    /// Its Durable Object classes.
    pub(crate) classes: Classes,
}

impl Store {
    /// Opens the folder of modules below `folder` and sweeps what no version names.
    pub(crate) async fn open(meta: Database, vault: Vault, folder: &Path) -> Result<Self, WorkersError> {
        let modules: Arc<Path> = folder.join("modules").into();
        let store = Self { meta, vault, modules, collecting: Arc::default() };
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

    /// The database, for the functions of [`zones`].
    pub(crate) fn meta(&self) -> &Database {
        &self.meta
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
        let _kept = self.collecting.read().await;
        let rows = self.meta.read(move |db| loaded_rows(db, id)).await?;
        let Some(LoadedRows { script: name, version, files, sealed, objects }) = rows else {
            return Ok(None);
        };
        let mut bindings = self.restore_bindings(&name, &version, &sealed)?;
        if let Some(objects) = objects.as_ref().filter(|objects| objects.role == ObjectsRole::Guest) {
            objects::bind_elsewhere(&mut bindings, objects);
        }
        let folder = Arc::clone(&self.modules);
        let modules =
            blocking(move || files.into_iter().map(|file| read_module(&folder, file)).collect()).await?;
        let metadata = VersionMetadata {
            tag: version.manifest.tag().to_owned(),
            timestamp: rfc3339(version.created_ms),
        };
        let Manifest { entry, compatibility, .. } = version.manifest;
        Ok(Some(WorkerVersion {
            script: name,
            id,
            metadata,
            compatibility,
            bindings,
            entry,
            modules,
            objects,
        }))
    }

    /// The Durable Object classes of a script.
    pub(crate) async fn classes(&self, name: &ScriptName) -> Result<Vec<ObjectClass>, WorkersError> {
        let name = name.clone();
        self.meta.read(move |db| objects::classes(db, name.as_str())).await
    }

    /// The namespaces of all scripts.
    pub(crate) async fn object_namespaces(&self) -> Result<Vec<ObjectNamespace>, WorkersError> {
        self.meta.read(objects::namespaces).await
    }

    /// The namespace of a script's class.
    pub(crate) async fn object_namespace(
        &self,
        script: &ScriptName,
        class: &str,
    ) -> Result<Option<ObjectNamespaceId>, WorkersError> {
        let classes = self.classes(script).await?;
        Ok(classes.into_iter().find(|known| known.name == class).map(|known| known.namespace))
    }

    /// The version that runs the script's Durable Objects.
    pub(crate) async fn object_owner(&self, name: &ScriptName) -> Result<Option<VersionId>, WorkersError> {
        let name = name.clone();
        self.meta
            .read(move |db| match deployments(db, name.as_str(), 1)?.pop() {
                Some(active) => objects::owner(db, &active),
                None => Ok(None),
            })
            .await
    }

    /// Makes an upload durable: first its modules' files, then all rows in one transaction.
    pub(crate) async fn commit(&self, new: NewVersion) -> Result<(Script, Version), WorkersError> {
        let NewVersion { worker, version, settings, deployment, classes } = new;
        let sealed = self.seal_secrets(&worker);
        let folder = Arc::clone(&self.modules);
        let modules = worker.modules;
        let kept = self.collecting.read().await;
        let files = blocking(move || write_modules(&folder, modules)).await?;
        let written: Vec<String> = files.iter().map(|file| file.sha256.clone()).collect();
        let committed: Result<_, WorkersError> = self
            .meta
            .write(move |db| {
                let mut script = upsert_script(db, &worker.script, version.created_ms, &settings)?;
                let version = insert_version(db, &mut script, version)?;
                insert_files(db, version.id, &files)?;
                insert_secrets(db, version.id, &sealed)?;
                write_classes(db, script.name.as_str(), &classes, version.created_ms)?;
                if let Some(deployment) = &deployment {
                    insert_deployment(db, &script.name, deployment)?;
                }
                let dropped = prune(db, &script.name, VERSIONS_KEPT_MAX, DEPLOYMENTS_KEPT_MAX)?;
                Ok((script, version, dropped))
            })
            .await;
        drop(kept);
        match committed {
            Ok((script, version, dropped)) => {
                self.collect(dropped).await;
                Ok((script, version))
            }
            Err(error) => {
                self.collect(written).await;
                Err(error)
            }
        }
    }

    /// The transfers of namespaces in which a script is source or target.
    pub(crate) async fn hints(&self, name: &ScriptName) -> Result<Vec<Hint>, WorkersError> {
        let name = name.clone();
        self.meta.read(move |db| objects::hints(db, name.as_str())).await
    }

    /// Makes `deployment` the active one.
    pub(crate) async fn deploy(
        &self,
        name: &ScriptName,
        deployment: Deployment,
        classes: Classes,
    ) -> Result<Deployment, WorkersError> {
        let name = name.clone();
        let deployed: Result<_, WorkersError> = self
            .meta
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
                write_classes(db, name.as_str(), &classes, deployment.created_ms)?;
                let dropped = prune(db, &name, VERSIONS_KEPT_MAX, DEPLOYMENTS_KEPT_MAX)?;
                touch(db, &name, deployment.created_ms)?;
                Ok((deployment, dropped))
            })
            .await;
        let (deployment, dropped) = deployed?;
        self.collect(dropped).await;
        Ok(deployment)
    }

    /// Removes a script and all it has. Its modules are for [`Store::collect`], once nobody is sent to its versions.
    pub(crate) async fn delete(&self, name: &ScriptName) -> Result<Option<Removed>, WorkersError> {
        let name = name.clone();
        self.meta.write(move |db| delete_script(db, name.as_str())).await
    }

    /// Removes those of these modules that no version names any more. What cannot be removed does no harm and is swept at
    /// the next start.
    pub(crate) async fn collect(&self, hashes: Vec<String>) {
        if hashes.is_empty() {
            return;
        }
        let _alone = self.collecting.write().await;
        let removed = async {
            let hashes = self.meta.read(move |db| unnamed(db, hashes)).await?;
            let folder = Arc::clone(&self.modules);
            blocking(move || remove_modules(&folder, &hashes)).await
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "Modules that no version has stay until the next start");
        }
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

fn purpose(script: &ScriptName, version: VersionId, binding: &str) -> String {
    format!("workers/{script}/{version}/{binding}")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkersError> + Send + 'static,
) -> Result<T, WorkersError> {
    tokio::task::spawn_blocking(work).await.map_err(|_cause| WorkersError::Interrupted)?
}
