//! A register in a temporary folder, a runtime that only takes notes, and uploads put together by hand.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, StatusCode, header::CONTENT_TYPE},
};
use futures_util::future::BoxFuture;
use model::{AccountId, BucketName, DatabaseId, NamespaceId, TokenId, VersionId, WorkerVersion};
use product::{House, Runtime, Trial, TrialError};
use serde_json::{Value, json};
use store::{Database, Options, StoreError, Vault};
use tasks::{Clock, Tasks};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use v4::Principal;
use workers::{Bindable, Register, Routes, Settings, Target};

/// The one KV namespace that exists.
pub(crate) const NAMESPACE: &str = "0123456789abcdef0123456789abcdef";

/// The one R2 bucket that exists.
pub(crate) const BUCKET: &str = "uploads";

/// The zone of the settings file.
pub(crate) const ZONE: &str = "example.com";

/// Small, so that a test can exceed it.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

/// 2026-11-21T08:00:00Z
const NOW_MS: u64 = 1_795_248_000_000;

const BOUNDARY: &str = "boundary-of-a-test";

/// An open register.
pub(crate) struct Room {
    pub(crate) folder: TempDir,
    pub(crate) house: House,
    pub(crate) runtime: Arc<Notes>,
    pub(crate) register: Arc<Register>,
    pub(crate) routes: Routes,
    router: Router,
}

impl Room {
    pub(crate) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().expect("a temporary folder")).await
    }

    /// Opens what another register left in `folder`.
    pub(crate) async fn open_in(folder: TempDir) -> Self {
        let house = house(folder.path());
        let settings = Settings {
            base_domain: "localhost".to_owned(),
            http_port: 8787,
            script_bytes_max: SCRIPT_BYTES_MAX,
            zones: vec![ZONE.to_owned()],
        };
        let opened = workers::open(&house, settings, Arc::new(Namespaces)).await;
        let (product, routes, register) = opened.expect("the register opens");
        let runtime = Arc::new(Notes::default());
        register.attach(runtime.clone());
        let principal =
            Principal { token: "0123456789abcdef0123456789abcdef".parse::<TokenId>().expect("an id") };
        let router = product.rest.layer(Extension(principal));
        Self { folder, house, runtime, register, routes, router }
    }

    /// Closes the files and opens them again, as a restart does.
    pub(crate) async fn reopen(self) -> Self {
        self.house.meta.close().await;
        Self::open_in(self.folder).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", Vec::new()).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        // As wrangler sends it.
        self.send(method, path, "text/plain;charset=UTF-8", body.to_string().into_bytes()).await
    }

    pub(crate) async fn put(&self, script: &str, upload: &Upload) -> Answer {
        self.send("PUT", &format!("/scripts/{script}"), &multipart(), upload.bytes()).await
    }

    pub(crate) async fn post_version(&self, script: &str, upload: &Upload) -> Answer {
        self.send("POST", &format!("/scripts/{script}/versions"), &multipart(), upload.bytes()).await
    }

    /// Deploys and switches the hosts on; returns the version.
    pub(crate) async fn deployed(&self, script: &str, upload: &Upload) -> VersionId {
        let answer = self.put(script, upload).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        let subdomain = json!({"enabled": true, "previews_enabled": true});
        self.json("POST", &format!("/scripts/{script}/subdomain"), subdomain).await.ok();
        id(&answer.json["result"]["deployment_id"])
    }

    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let uri = if path.starts_with("/zones") {
            path.to_owned()
        } else {
            format!("/accounts/{}/workers{path}", self.house.account)
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content_type)
            .header("user-agent", "wrangler/4.164.0")
            .body(Body::from(body))
            .expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("a router never fails");
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 24).await.expect("an answer");
        Answer { status, json: serde_json::from_slice(&bytes).unwrap_or(Value::Null), bytes }
    }

    /// Which versions answer `host`.
    pub(crate) fn answering(&self, host: &str) -> Option<Vec<(VersionId, f64)>> {
        let route = self.routes.find(&Target { is_https: false, host, path_and_query: "/" })?;
        Some(route.versions.iter().map(|share| (share.version, share.percentage)).collect())
    }
}

pub(crate) fn house(folder: &Path) -> House {
    let meta = Database::open(&folder.join("meta.sqlite"), workers::MIGRATIONS, Options { readers: 2 });
    House {
        data: folder.to_owned(),
        meta: meta.expect("the database opens"),
        vault: Vault::open(&folder.join("master.key")).expect("the vault opens"),
        account: "fedcba9876543210fedcba9876543210".parse::<AccountId>().expect("an id"),
        clock: Clock::manual(NOW_MS),
        tasks: Tasks::new(),
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
    pub(crate) bytes: Bytes,
}

impl Answer {
    /// The result of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        assert_eq!(self.json["success"], true);
        self.json["result"].clone()
    }

    /// Status, code and text of a refusal.
    pub(crate) fn refusal(&self) -> (u16, u64, &str) {
        assert_eq!(self.json["success"], false, "{}", self.json);
        let error = &self.json["errors"][0];
        let code = error["code"].as_u64().expect("a code");
        (self.status.as_u16(), code, error["message"].as_str().expect("a message"))
    }
}

pub(crate) fn id(value: &Value) -> VersionId {
    value.as_str().and_then(|text| text.parse().ok()).expect("a version id")
}

pub(crate) fn multipart() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// An upload in the making.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) metadata: Value,
    parts: Vec<(String, String, Vec<u8>)>,
}

impl Upload {
    /// A Worker of one ES module.
    pub(crate) fn module(source: &str) -> Self {
        let metadata = json!({"main_module": "index.js", "compatibility_date": "2026-01-01", "bindings": []});
        Self { metadata, parts: Vec::new() }.file("index.js", "application/javascript+module", source)
    }

    /// No part but what is added.
    pub(crate) fn empty(metadata: Value) -> Self {
        Self { metadata, parts: Vec::new() }
    }

    pub(crate) fn file(mut self, name: &str, content_type: &str, content: impl Into<Vec<u8>>) -> Self {
        self.parts.push((name.to_owned(), content_type.to_owned(), content.into()));
        self
    }

    /// Sets a field of the metadata.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.metadata[field] = value;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n",
            self.metadata
        )
        .into_bytes();
        self.push_parts(&mut body);
        body
    }

    /// Without a metadata part.
    pub(crate) fn bytes_of_parts(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.push_parts(&mut body);
        body
    }

    fn push_parts(&self, body: &mut Vec<u8>) {
        for (name, content_type, content) in &self.parts {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    }
}

/// A runtime that notes what it is asked and says yes unless told otherwise.
pub(crate) struct Notes {
    pub(crate) trials: Mutex<Vec<WorkerVersion>>,
    pub(crate) retired: Mutex<Vec<VersionId>>,
    pub(crate) verdict: Mutex<Option<TrialError>>,
    /// A trial takes one permit to end; without a limit by default.
    pub(crate) gate: Semaphore,
    /// Gets a permit when a trial has begun.
    pub(crate) begun: Semaphore,
    running: Mutex<(usize, usize)>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            trials: Mutex::default(),
            retired: Mutex::default(),
            verdict: Mutex::default(),
            gate: Semaphore::new(1000),
            begun: Semaphore::new(0),
            running: Mutex::default(),
        }
    }
}

impl Notes {
    /// Makes trials wait until [`Semaphore::add_permits`] on the gate.
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(self.gate.available_permits());
        self.begun.forget_permits(self.begun.available_permits());
    }

    /// The most trials there were at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.running.lock().expect("no test panics here").1
    }

    pub(crate) fn last(&self) -> WorkerVersion {
        self.trials.lock().expect("no test panics here").last().expect("a trial").clone()
    }
}

impl Runtime for Notes {
    fn trial<'a>(&'a self, version: &'a WorkerVersion) -> BoxFuture<'a, Result<Trial, TrialError>> {
        Box::pin(async move {
            {
                let mut running = self.running.lock().expect("no test panics here");
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            self.trials.lock().expect("no test panics here").push(version.clone());
            self.begun.add_permits(1);
            self.gate.acquire().await.expect("never closed").forget();
            self.running.lock().expect("no test panics here").0 -= 1;
            match self.verdict.lock().expect("no test panics here").clone() {
                Some(error) => Err(error),
                None => Ok(Trial { startup_ms: 7, missing_classes: Vec::new() }),
            }
        })
    }

    fn retire(&self, versions: Vec<VersionId>) {
        self.retired.lock().expect("no test panics here").extend(versions);
    }
}

struct Namespaces;

impl Bindable for Namespaces {
    fn kv_namespace_exists<'a>(&'a self, id: &'a NamespaceId) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(id.as_str() == NAMESPACE) })
    }

    fn r2_bucket_exists<'a>(&'a self, name: &'a BucketName) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(name.as_str() == BUCKET) })
    }

    fn d1_database_exists(&self, _id: DatabaseId) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }
}
