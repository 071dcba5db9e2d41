//! An engine in a temporary folder, with versions given by the test.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use engine::{Engine, Lease, Settings, StartError, Wiring};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use model::{
    Binding, BindingKind, Caller, Compatibility, Entry, Module, ModuleKind, Objects, VersionId,
    VersionMetadata, WorkerVersion,
};
use product::{Claim, ConnectionDoor, ObjectHomes, VersionSource};
use store::StoreError;
use tasks::{Clock, Tasks};

pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) source: Arc<Versions>,
    pub(crate) tasks: Tasks,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
pub(crate) struct Versions(Mutex<HashMap<VersionId, WorkerVersion>>);

impl Versions {
    pub(crate) fn add(&self, version: WorkerVersion) -> VersionId {
        let id = version.id;
        self.0.lock().unwrap().insert(id, version);
        id
    }
}

impl VersionSource for Versions {
    fn load(&self, version: VersionId) -> BoxFuture<'_, Result<Option<WorkerVersion>, StoreError>> {
        let found = self.0.lock().unwrap().get(&version).cloned();
        async move { Ok(found) }.boxed()
    }
}

/// No version here has Durable Objects.
struct NoHomes;

impl ObjectHomes for NoHomes {
    fn claim<'a>(&'a self, _objects: &'a Objects) -> BoxFuture<'a, std::io::Result<Option<Claim>>> {
        async { Err(std::io::Error::other("no home")) }.boxed()
    }
}

/// A door that hangs up.
struct Closed;

impl ConnectionDoor for Closed {
    fn serve(&self, _caller: Arc<Caller>, _connection: tokio::net::UnixStream) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own environment names the program")]
fn workerd() -> std::path::PathBuf {
    let named = std::env::var_os("SKERRY_WORKERD").map(std::path::PathBuf::from);
    let installed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/clients/node_modules/@cloudflare/workerd-linux-64/bin/workerd"
    );
    let program = named.unwrap_or_else(|| installed.into());
    assert!(program.is_file(), "no workerd at {}: `cargo xtask test` installs it", program.display());
    program
}

pub(crate) fn settings() -> Settings {
    Settings {
        program: workerd(),
        run_folder: std::path::PathBuf::new(),
        idle_timeout: Duration::from_secs(600),
        drain_timeout: Duration::from_secs(10),
        wait_until_limit: Duration::from_secs(2),
        startup_timeout: Duration::from_secs(30),
        startup_cpu: Duration::from_secs(1),
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(mut settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Deeper than a Unix socket's address may be long.
        settings.run_folder = folder.path().join("d".repeat(100)).join("run");
        let tasks = Tasks::new();
        let engine =
            Engine::new(settings, Clock::system(), tasks.clone(), &telemetry::Metrics::new()).unwrap();
        let source = Arc::new(Versions::default());
        engine.connect(Wiring {
            source: Arc::<Versions>::clone(&source),
            bindings: Arc::new(Closed),
            egress: Arc::new(Closed),
            homes: Arc::new(NoHomes),
        });
        Self { engine, source, tasks, _folder: folder }
    }

    /// Asks a version for `path`.
    pub(crate) async fn get(&self, version: VersionId, path: &str) -> Result<String, StartError> {
        let lease = self.engine.acquire(version).await?;
        let answer = send(&lease, path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Ok(text(answer).await)
    }

    pub(crate) async fn pid(&self, version: VersionId) -> i32 {
        self.engine.acquire(version).await.unwrap().pid()
    }
}

pub(crate) async fn send(lease: &Lease, path: &str) -> Response<engine::ProcessBody> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(path).header("host", "test.localhost").body(body).unwrap();
    lease.send(request).await.unwrap()
}

pub(crate) async fn text(answer: Response<engine::ProcessBody>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// A version with one module.
pub(crate) fn version(code: &str) -> WorkerVersion {
    WorkerVersion {
        script: "test".parse().unwrap(),
        id: VersionId::random(),
        metadata: VersionMetadata::default(),
        compatibility: Compatibility { date: "2026-11-01".to_owned(), flags: vec![] },
        bindings: vec![Binding { name: "WHO".to_owned(), kind: BindingKind::PlainText("wörld".to_owned()) }],
        entry: Entry::Module("index.js".to_owned()),
        objects: None,
        modules: vec![Module {
            name: "index.js".to_owned(),
            kind: ModuleKind::EsModule,
            content: Bytes::from(code.to_owned()),
        }],
    }
}

/// A version that answers `text`.
pub(crate) fn answering(text: &str) -> WorkerVersion {
    version(&format!("export default {{ fetch() {{ return new Response('{text}') }} }}"))
}
