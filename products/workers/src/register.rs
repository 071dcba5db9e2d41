//! What the register does: takes uploads, deploys, deletes, and publishes who answers which host. A change is tried
//! first, then committed in one transaction, then published; until the commit everything stays as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{Arc, OnceLock},
};

use ::model::{
    AccountId, Binding, BindingKind, BucketName, Compatibility, DatabaseId, DeploymentId, Entry, Module,
    NamespaceId, ScriptName, ScriptTag, VersionId, VersionMetadata, WorkerVersion,
};
use ::store::{Failure, StoreError, fault};
use futures_util::future::BoxFuture;
use product::{House, Product, Runtime, Trial, VersionSource};
use serde_json::{Map, Value};
use tasks::{Clock, Tasks};
use time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use v4::{Part, rfc3339};

use crate::{
    binding::{self, Declared},
    classes::{Classes, Migrations},
    error::WorkersError,
    exports::{Exports, Situation},
    model::{
        DEPLOYMENT_VERSIONS_MAX, Deployment, Manifest, Origin, Portion, Script, Subdomain, UPLOADS_MAX,
        Version,
    },
    rest,
    routes::{RouteTable, Routes},
    store::{NewVersion, Store, objects::ObjectNamespace, zones},
    upload::{self, Upload, UploadLimits},
};

/// How far the percentages of a deployment may be from 100 in sum: they are written with two decimals.
const PERCENTAGE_SLACK: f64 = 0.01;

/// Locks that changes of one script wait on. Scripts whose names fall on the same lock wait for each other, harmlessly.
const LOCKS: usize = 64;

/// What the server decides for the register.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Workers answer at `<script>.<base_domain>`.
    pub base_domain: String,
    /// The port of the public door: links without it would lead elsewhere.
    pub http_port: u16,
    /// Largest script after gzip.
    pub script_bytes_max: u64,
    /// Zones that are there from the start.
    pub zones: Vec<String>,
}

/// Knows whether what a binding names exists. The server implements it over the other products.
pub trait Bindable: Send + Sync {
    /// Whether this KV namespace exists.
    fn kv_namespace_exists<'a>(&'a self, id: &'a NamespaceId) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Whether the R2 bucket exists.
    fn r2_bucket_exists<'a>(&'a self, name: &'a BucketName) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Whether the D1 database exists.
    fn d1_database_exists(&self, id: DatabaseId) -> BoxFuture<'_, Result<bool, StoreError>>;
}

/// The register; the engine reads versions from it.
pub struct Register {
    store: Store,
    settings: Settings,
    account: AccountId,
    checks: Arc<dyn Bindable>,
    routes: Routes,
    clock: Clock,
    tasks: Tasks,
    // Given after opening, since the runtime needs the register as its source of versions.
    runtime: OnceLock<Arc<dyn Runtime>>,
    script_locks: [Mutex<()>; LOCKS],
    publishing: Mutex<()>,
    uploads: Arc<Semaphore>,
}

impl std::fmt::Debug for Register {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Register").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Opens the register, publishes the routes of what is deployed, and hands over its REST door. Uploads are answered
/// with 503 until [`Register::attach`] has given it a runtime.
pub async fn open(
    house: &House,
    settings: Settings,
    checks: Arc<dyn Bindable>,
) -> Result<(Product, Routes, Arc<Register>), WorkersError> {
    let folder = house.data.join("workers");
    let register = Arc::new(Register::open(house, &folder, settings, checks).await?);
    register.ensure_zones(&register.settings.zones).await?;
    register.publish().await?;
    let rest = rest::router(Arc::clone(&register));
    let product = Product { name: "workers", rest, binding: None, datasets: Vec::new() };
    Ok((product, register.routes.clone(), register))
}

/// Whether an upload also becomes the active deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Create the script if need be, and answer requests with this version.
    Deploy,
    /// Only keep the version of an existing script.
    Keep,
}

/// An upload that was committed.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) script: Script,
    pub(crate) version: Version,
    /// What its declaration of exports has led to, in the API's form.
    pub(crate) report: Option<Value>,
}

/// A version before its trial.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) entry: Entry,
    pub(crate) compatibility: Compatibility,
    /// Checked, secrets included.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) modules: Vec<Module>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) hints: Map<String, Value>,
    /// Script-level settings to merge.
    pub(crate) settings: Map<String, Value>,
    pub(crate) etag: String,
    /// The Durable Object classes that it has to export.
    pub(crate) classes: Classes,
    /// What it declares of them, and what that was held against.
    pub(crate) declared: Option<(Exports, Situation)>,
    /// What made the version, as annotations name it.
    pub(crate) trigger: &'static str,
}

impl Register {
    async fn open(
        house: &House,
        folder: &Path,
        mut settings: Settings,
        checks: Arc<dyn Bindable>,
    ) -> Result<Self, WorkersError> {
        // Hosts are looked up in lower case.
        settings.base_domain.make_ascii_lowercase();
        Ok(Self {
            store: Store::open(house.meta.clone(), house.vault.clone(), folder).await?,
            settings,
            account: house.account.clone(),
            checks,
            routes: Routes::default(),
            clock: house.clock.clone(),
            tasks: house.tasks.clone(),
            runtime: OnceLock::new(),
            script_locks: std::array::from_fn(|_| Mutex::new(())),
            publishing: Mutex::new(()),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        })
    }

    /// Gives the register its runtime; only the first call counts.
    pub fn attach(&self, runtime: Arc<dyn Runtime>) {
        drop(self.runtime.set(runtime));
    }

    /// The host at which a script answers while its subdomain is enabled.
    #[must_use]
    pub fn host(&self, script: &ScriptName) -> String {
        format!("{script}.{}", self.settings.base_domain)
    }

    /// Where a browser finds a script: its host with the port of the public door.
    fn url(&self, script: &ScriptName) -> String {
        let host = self.host(script);
        match self.settings.http_port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For reading; changes go through the register's own functions.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The right to hold one upload in memory: to be waited for before the body is read.
    pub(crate) async fn upload_permit(&self) -> Result<OwnedSemaphorePermit, WorkersError> {
        Arc::clone(&self.uploads).acquire_owned().await.map_err(|_closed| WorkersError::Interrupted)
    }

    /// The script, or the error that says there is none.
    pub(crate) async fn script(&self, name: &ScriptName) -> Result<Script, WorkersError> {
        self.store.script(name).await?.ok_or(WorkersError::ScriptMissing)
    }

    /// The bindings to other Workers of all versions that answer requests, each with the script that has it, in the API's
    /// form.
    pub(crate) async fn bindings_to_scripts(&self) -> Result<Vec<(ScriptName, Value)>, WorkersError> {
        let mut found = Vec::new();
        for script in self.store.scripts().await? {
            let active = self.store.deployments(&script.name).await?.into_iter().next();
            for portion in active.iter().flat_map(|deployment| &deployment.versions) {
                let version = self.store.version(&script.name, portion.version_id).await?;
                let bindings = version.into_iter().flat_map(|version| version.manifest.bindings);
                let to_scripts = bindings
                    .filter(|binding| binding["type"] == "service" || !binding["script_name"].is_null());
                found.extend(to_scripts.map(|binding| (script.name.clone(), binding)));
            }
        }
        Ok(found)
    }

    /// Takes an upload: checks it, tries it, and keeps it as a version; deploys it if `intent` says so. `permit` is held
    /// until the upload is done with, which is not when its client hangs up.
    pub(crate) async fn upload(
        self: &Arc<Self>,
        name: ScriptName,
        parts: Vec<Part>,
        permit: OwnedSemaphorePermit,
        origin: Origin,
        intent: Intent,
    ) -> Result<Kept, WorkersError> {
        let limits = UploadLimits {
            script_bytes_max: self.settings.script_bytes_max,
            today: OffsetDateTime::from(self.clock.now()).date(),
        };
        self.to_the_end(move |register| async move {
            let _permit = permit;
            let upload = tokio::task::spawn_blocking(move || upload::parse(parts, limits)).await;
            let upload = upload.map_err(|_cause| WorkersError::Interrupted)??;
            let sources = upload.migrations.iter().flat_map(Migrations::sources);
            let others = sources.chain(upload.exports.iter().flat_map(Exports::scripts));
            let _locks = register.lock_all(others.chain([&name])).await;
            register.take(&name, upload, origin, intent).await
        })
        .await
    }

    /// Makes the given versions answer, each its share of the requests. Going back to a version with other secrets has to
    /// be forced.
    pub(crate) async fn deploy(
        self: &Arc<Self>,
        name: ScriptName,
        portions: Vec<Portion>,
        annotations: Map<String, Value>,
        is_forced: bool,
        origin: Origin,
    ) -> Result<Deployment, WorkersError> {
        check_portions(&portions)?;
        let annotations = upload::annotations_of(annotations)?;
        self.to_the_end(move |register| async move {
            let exports = register.exports_of(&name, &portions).await?;
            let others = exports.iter().flat_map(Exports::scripts);
            let _locks = register.lock_all(others.chain([&name])).await;
            register.script(&name).await?;
            let classes = register.check_objects(&name, &portions, exports.as_ref()).await?;
            let is_rollback = register.check_rollback(&name, &portions, is_forced).await?;
            let trigger = if is_rollback { "rollback" } else { "deployment" };
            let mut deployment = register.new_deployment(portions, origin, trigger);
            deployment.annotations.extend(annotations);
            let before = register.answering(&name).await?;
            let touched = register.touched_by(&classes).await?;
            let deployment = register.store.deploy(&name, deployment, classes).await?;
            register.publish().await?;
            register.retire_changed(before, &name).await;
            register.retire(touched);
            let url = register.url(&name);
            tracing::info!(script = %name, deployment = %deployment.id, url, "Deployed Worker `{name}`");
            Ok(deployment)
        })
        .await
    }

    /// Removes a script with all its versions; its hosts answer no more.
    pub(crate) async fn delete(self: &Arc<Self>, name: ScriptName) -> Result<(), WorkersError> {
        self.to_the_end(move |register| async move {
            let _lock = register.lock(&name).await;
            let removed = register.store.delete(&name).await?.ok_or(WorkersError::ScriptMissing)?;
            register.publish().await?;
            register.retire(removed.versions);
            register.store.collect(removed.modules).await;
            tracing::info!(script = %name, "Deleted Worker `{name}`");
            Ok(())
        })
        .await
    }

    /// Switches a script's hosts on or off.
    pub(crate) async fn set_subdomain(
        self: &Arc<Self>,
        name: ScriptName,
        subdomain: Subdomain,
    ) -> Result<Subdomain, WorkersError> {
        self.to_the_end(move |register| async move {
            register.store.set_subdomain(&name, subdomain, register.clock.unix_ms()).await?;
            register.publish().await?;
            Ok(subdomain)
        })
        .await
    }

    /// Merges into the script's settings.
    pub(crate) async fn patch_settings(
        &self,
        name: &ScriptName,
        patch: Map<String, Value>,
    ) -> Result<Script, WorkersError> {
        self.store.patch_settings(name, patch, self.clock.unix_ms()).await
    }

    async fn take(
        &self,
        name: &ScriptName,
        upload: Upload,
        origin: Origin,
        intent: Intent,
    ) -> Result<Kept, WorkersError> {
        let existing = self.store.script(name).await?;
        if existing.is_none() && intent == Intent::Keep {
            return Err(WorkersError::ScriptMissing);
        }
        if upload.migrations.is_some() && intent == Intent::Keep {
            return Err(WorkersError::MigrationNeedsDeployment);
        }
        self.check_alias(name, &upload).await?;
        let migrated = self.migrated(name, upload.migrations).await?;
        let (classes, declared) = self.declared(name, migrated, upload.exports, intent).await?;
        let draft = Draft {
            bindings: self.resolve(name, upload.bindings, &upload.kept_types).await?,
            classes,
            declared,
            entry: upload.entry,
            compatibility: upload.compatibility,
            hints: upload.hints,
            annotations: upload.annotations,
            modules: upload.modules,
            etag: upload.etag,
            settings: upload.settings,
            trigger: "upload",
        };
        self.keep(name, draft, origin, intent).await
    }

    /// Tries a version, and commits and publishes it. The caller holds the script's lock.
    pub(crate) async fn keep(
        &self,
        name: &ScriptName,
        mut draft: Draft,
        origin: Origin,
        intent: Intent,
    ) -> Result<Kept, WorkersError> {
        self.bind_all_objects(name, &mut draft, intent).await?;
        let (created_ms, classes) = (self.clock.unix_ms(), draft.class_names());
        let mut annotations = draft.annotations;
        annotations.insert("workers/triggered_by".to_owned(), draft.trigger.to_owned());
        let mut manifest = Manifest {
            entry: draft.entry,
            compatibility: draft.compatibility,
            bindings: draft.bindings.iter().map(binding::describe).collect(),
            annotations,
            hints: draft.hints,
            classes,
            exports: draft.declared.as_ref().map(|(exports, _)| exports.clone()),
        };
        let worker = WorkerVersion {
            script: name.clone(),
            id: self.store.draw_version_id(name).await?,
            metadata: VersionMetadata { tag: manifest.tag().to_owned(), timestamp: rfc3339(created_ms) },
            compatibility: manifest.compatibility.clone(),
            bindings: draft.bindings,
            entry: manifest.entry.clone(),
            modules: draft.modules,
            objects: Self::objects_to_try(&draft.classes, &manifest.classes),
        };
        let id = worker.id;
        let Trial { startup_ms, missing_classes } = self.runtime()?.trial(&worker).await?;
        manifest.classes.retain(|class| !missing_classes.contains(class));
        let classes = match &draft.declared {
            Some((exports, situation)) if intent == Intent::Deploy => {
                exports.reconcile(name, situation, |class| manifest.has_class(class))?
            }
            // It is held against what there will be when it is deployed.
            Some(_) => draft.classes,
            None => draft.classes.exported(&missing_classes)?,
        };
        fault::point("workers: tried");
        let version = Version {
            id,
            number: 0,
            created_ms,
            origin: origin.clone(),
            etag: draft.etag,
            startup_ms,
            manifest,
        };
        let deployment = (intent == Intent::Deploy).then(|| {
            let portion = Portion { version_id: id, percentage: 100.0 };
            let mut deployment = self.new_deployment(vec![portion], origin, draft.trigger);
            let message = version.manifest.annotations.get_key_value("workers/message");
            deployment.annotations.extend(message.map(|(name, text)| (name.clone(), text.clone())));
            deployment
        });
        let report = classes.change.as_ref().and_then(|change| change.report.clone());
        let settings = draft.settings;
        let (script, version) =
            self.settle(NewVersion { worker, version, settings, deployment, classes }).await?;
        Ok(Kept { script, version, report })
    }

    /// Commits, publishes and retires what no longer answers.
    async fn settle(&self, new: NewVersion) -> Result<(Script, Version), WorkersError> {
        let name = new.worker.script.clone();
        let id = new.worker.id;
        let deployment = new.deployment.clone();
        let before = self.answering(&name).await?;
        let touched = self.touched_by(&new.classes).await?;
        let committed = self.store.commit(new).await;
        if committed.is_err() {
            // The trial's process runs a version that does not exist.
            self.retire(vec![id]);
        }
        let (script, version) = committed?;
        self.publish().await?;
        if deployment.is_some() {
            self.retire_changed(before, &name).await;
        }
        self.retire(touched);
        let verb = if deployment.is_some() { "Deployed" } else { "Uploaded a version of" };
        let url = self.url(&name);
        tracing::info!(script = %name, version = %id, url, "{verb} Worker `{name}`");
        Ok((script, version))
    }

    /// Turns declared bindings into bindings: takes over what is inherited or kept, and checks what each names.
    async fn resolve(
        &self,
        name: &ScriptName,
        declared: Vec<Declared>,
        kept_types: &std::collections::HashSet<String>,
    ) -> Result<Vec<Binding>, WorkersError> {
        let mut previous = match self.store.latest_version(name).await? {
            Some(version) => self.store.bindings(name, &version).await?,
            None => Vec::new(),
        };
        let mut bindings: Vec<Binding> = Vec::with_capacity(declared.len());
        for declared in self.resolve_named(name, declared).await? {
            bindings.push(declared.resolve(&previous)?);
        }
        // A secret stays until it is overwritten or deleted: an older wrangler does not list it among what to keep. To
        // delete one, that wrangler lists the other kind of secret alone, and inherits the rest by name.
        let keeps_secrets = kept_types.contains("secret_text") || !kept_types.contains("secret_key");
        let is_kept = |kind: &BindingKind| match kind {
            BindingKind::SecretText(_) => keeps_secrets,
            other => kept_types.contains(binding::type_name(other)),
        };
        previous.retain(|old| is_kept(&old.kind) && bindings.iter().all(|new| new.name != old.name));
        bindings.append(&mut previous);
        upload::check_variables(bindings.iter().map(|binding| (binding.name.as_str(), &binding.kind)))?;
        for binding in &bindings {
            self.check_target(name, binding).await?;
        }
        Ok(bindings)
    }

    /// Puts what a named version has in the place of each binding that is inherited from one.
    pub(crate) async fn resolve_named(
        &self,
        name: &ScriptName,
        mut declared: Vec<Declared>,
    ) -> Result<Vec<Declared>, WorkersError> {
        for declared in &mut declared {
            let Declared::Inherited { name: binding, from, version: Some(version) } = &*declared else {
                continue;
            };
            let missing = || WorkersError::InheritMissing(binding.clone());
            let version = self.store.version(name, *version).await?.ok_or_else(missing)?;
            let found = self.store.bindings(name, &version).await?;
            let latest = Declared::Inherited { name: binding.clone(), from: from.clone(), version: None };
            *declared = Declared::Bound(latest.resolve(&found)?);
        }
        Ok(declared)
    }

    /// Whether what a binding names is there.
    pub(crate) async fn check_target(
        &self,
        name: &ScriptName,
        binding: &Binding,
    ) -> Result<(), WorkersError> {
        match &binding.kind {
            BindingKind::KvNamespace(id) if !self.checks.kv_namespace_exists(id).await? => {
                Err(WorkersError::NamespaceMissing(id.to_string()))
            }
            BindingKind::R2Bucket(name) if !self.checks.r2_bucket_exists(name).await? => {
                Err(WorkersError::BucketMissing(name.to_string()))
            }
            BindingKind::D1(id) if !self.checks.d1_database_exists(*id).await? => {
                let (binding, id) = (binding.name.clone(), id.to_string());
                Err(WorkersError::DatabaseMissing { binding, id })
            }
            BindingKind::Service(target)
                if target.script != *name && self.store.script(&target.script).await?.is_none() =>
            {
                let (binding, script) = (binding.name.clone(), target.script.clone());
                Err(WorkersError::ServiceTargetMissing { binding, script })
            }
            BindingKind::KvNamespace(_)
            | BindingKind::R2Bucket(_)
            | BindingKind::D1(_)
            | BindingKind::Service(_)
            | BindingKind::ObjectClass(_)
            | BindingKind::PlainText(_)
            | BindingKind::Json(_)
            | BindingKind::SecretText(_)
            | BindingKind::VersionMetadata
            | BindingKind::WasmModule(_)
            | BindingKind::TextBlob(_)
            | BindingKind::DataBlob(_) => Ok(()),
        }
    }

    async fn check_alias(&self, name: &ScriptName, upload: &Upload) -> Result<(), WorkersError> {
        let Some(alias) = upload.annotations.get("workers/alias") else {
            return Ok(());
        };
        let host = format!("{alias}-{name}");
        let Ok(other) = host.parse::<ScriptName>() else {
            return Err(WorkersError::Rejected(format!(
                "preview alias '{alias}' makes a host name that is too long"
            )));
        };
        if self.store.script(&other).await?.is_some() {
            let message = format!("preview alias '{alias}' would answer at the host of the Worker '{host}'");
            return Err(WorkersError::Rejected(message));
        }
        Ok(())
    }

    /// The namespaces of Durable Objects of all scripts.
    pub async fn object_namespaces(&self) -> Result<Vec<ObjectNamespace>, WorkersError> {
        self.store.object_namespaces().await
    }

    /// The version that runs the Durable Objects of the script that has this tag, if one is deployed.
    pub async fn object_owner(&self, home: &ScriptTag) -> Result<Option<VersionId>, WorkersError> {
        let Some(script) = self.store.script_by_tag(home.as_str()).await? else { return Ok(None) };
        self.store.object_owner(&script.name).await
    }

    fn new_deployment(&self, versions: Vec<Portion>, origin: Origin, trigger: &str) -> Deployment {
        let annotations = [("workers/triggered_by".to_owned(), trigger.to_owned())].into();
        let created_ms = self.clock.unix_ms();
        Deployment { id: DeploymentId::random(), created_ms, origin, versions, annotations }
    }

    pub(crate) async fn active(&self, name: &ScriptName) -> Result<Vec<VersionId>, WorkersError> {
        let active = self.store.deployments(name).await?.into_iter().next();
        let portions = active.map(|deployment| deployment.versions).unwrap_or_default();
        Ok(portions.into_iter().map(|portion| portion.version_id).collect())
    }

    async fn answering(&self, name: &ScriptName) -> Result<Answering, WorkersError> {
        let (active, owner) = (self.active(name).await?, self.store.object_owner(name).await?);
        let has_objects = !self.store.classes(name).await?.is_empty();
        Ok(Answering { active, owner: owner.filter(|_| has_objects) })
    }

    /// Puts the processes to rest that do not answer any more, and those that are to begin or to cease running objects; all of
    /// them if that cannot be read.
    async fn retire_changed(&self, before: Answering, name: &ScriptName) {
        let now = self.answering(name).await.unwrap_or_default();
        let is_same = |id| now.active.contains(id) && (before.owner == Some(*id)) == (now.owner == Some(*id));
        self.retire(before.active.iter().filter(|id| !is_same(id)).copied().collect());
    }

    fn retire(&self, versions: Vec<VersionId>) {
        if let Some(runtime) = self.runtime.get().filter(|_| !versions.is_empty()) {
            runtime.retire(versions);
        }
    }

    fn runtime(&self) -> Result<&Arc<dyn Runtime>, WorkersError> {
        self.runtime.get().ok_or_else(|| WorkersError::Unavailable("the server is still starting".to_owned()))
    }

    /// Puts the hosts of what is deployed now in force.
    pub(crate) async fn publish(&self) -> Result<(), WorkersError> {
        // Held from the read to the publication, so that no older reading can replace a newer one.
        let _publishing = self.publishing.lock().await;
        let scripts = self.store.published().await?;
        let zones = self.store.meta().read(zones::layout).await?;
        let table = RouteTable::build(&scripts, &self.settings.base_domain).with_zones(zones);
        self.routes.publish(table);
        fault::point("workers: published");
        Ok(())
    }

    pub(crate) async fn lock(&self, name: &ScriptName) -> MutexGuard<'_, ()> {
        self.script_locks[lock_of(name)].lock().await
    }

    /// The locks of several scripts, taken in one order by everybody.
    async fn lock_all(&self, names: impl Iterator<Item = &ScriptName>) -> Vec<MutexGuard<'_, ()>> {
        let mut guards = Vec::new();
        for lock in names.map(lock_of).collect::<BTreeSet<_>>() {
            guards.push(self.script_locks[lock].lock().await);
        }
        guards
    }

    /// Runs a change to its end even if its caller hangs up, so that what is committed is also published.
    pub(crate) async fn to_the_end<T, F>(
        self: &Arc<Self>,
        change: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, WorkersError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WorkersError>> + Send + 'static,
    {
        let change = change(Arc::clone(self));
        self.tasks.to_the_end("workers-change", change).await.ok_or(WorkersError::Interrupted)?
    }
}

impl VersionSource for Register {
    fn load(&self, version: VersionId) -> BoxFuture<'_, Result<Option<WorkerVersion>, StoreError>> {
        Box::pin(async move {
            self.store.load(version).await.map_err(|error| match error {
                WorkersError::Store(error) => error,
                other => StoreError::Corrupt(Failure {
                    tried: "load a version from",
                    file: "meta.sqlite".into(),
                    cause: other.to_string(),
                }),
            })
        })
    }
}

fn lock_of(name: &ScriptName) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % LOCKS as u64).expect("a bucket is less than LOCKS")
}

/// Which versions of a script answer, and which of them runs its Durable Objects.
#[derive(Default)]
struct Answering {
    active: Vec<VersionId>,
    owner: Option<VersionId>,
}

fn check_portions(portions: &[Portion]) -> Result<(), WorkersError> {
    let invalid = |message: String| Err(WorkersError::DeploymentInvalid(message));
    if portions.is_empty() || DEPLOYMENT_VERSIONS_MAX < portions.len() {
        return invalid(format!("a deployment has 1 to {DEPLOYMENT_VERSIONS_MAX} versions"));
    }
    for (position, portion) in portions.iter().enumerate() {
        if !(0.0..=100.0).contains(&portion.percentage) {
            return invalid(format!("version {} has a percentage outside 0 to 100", portion.version_id));
        }
        if portions[..position].iter().any(|other| other.version_id == portion.version_id) {
            return invalid(format!("version {} is named twice", portion.version_id));
        }
    }
    let sum: f64 = portions.iter().map(|portion| portion.percentage).sum();
    if PERCENTAGE_SLACK < (sum - 100.0).abs() {
        return invalid(format!("the percentages must add up to 100, not {sum}"));
    }
    Ok(())
}
