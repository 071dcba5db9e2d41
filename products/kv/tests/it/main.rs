//! What KV promises, through its two doors: the binding's wire that workerd speaks, and the v4 routes.

#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its tests do")]

mod binding;
mod history;
mod hostile;
mod large;
mod rest;
mod restart;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use kv::Kv;
use model::AccountId;
use product::House;
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use tower::ServiceExt;

/// The second at which a test's clock stands.
const NOW_S: u64 = 1_800_000_000;

/// A KV in a folder of its own, with a clock that stands still.
struct Room {
    folder: tempfile::TempDir,
    house: House,
    kv: Kv,
    /// A namespace that was made for the test.
    namespace: Arc<str>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    reason: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The result of a successful v4 answer.
    fn result(&self) -> Value {
        let json = self.json();
        assert_eq!((self.status, &json["success"]), (StatusCode::OK, &json!(true)), "{}", self.text());
        json["result"].clone()
    }

    /// Status and code of a v4 refusal.
    fn refusal(&self) -> (u16, u64) {
        let json = self.json();
        assert_eq!(json["success"], json!(false), "{}", self.text());
        (self.status.as_u16(), json["errors"][0]["code"].as_u64().unwrap())
    }
}

impl Room {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = House {
            data: folder.path().to_owned(),
            meta: Database::open(&folder.path().join("meta.sqlite"), &[], Options::default()).unwrap(),
            vault: Vault::open(&folder.path().join("master.key")).unwrap(),
            account: AccountId::random(),
            clock: Clock::manual(NOW_S * 1000),
            tasks: Tasks::new(),
        };
        let kv = kv::open(&house).await.unwrap();
        let mut room = Self { folder, house, kv, namespace: "".into() };
        let created = room.rest("POST", "", &json!({"title": "test"}).to_string()).await.result();
        room.namespace = created["id"].as_str().unwrap().into();
        room
    }

    /// Stops everything and opens the same folder again.
    async fn restart(self) -> Self {
        self.restart_after(|_| ()).await
    }

    /// The same, with something done to the room's files while it is closed.
    async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { folder, mut house, kv, namespace } = self;
        assert!(house.tasks.stop(Duration::from_secs(5)).await);
        kv.namespaces.close().await;
        drop(kv);
        change(&folder.path().join("kv"));
        house.tasks = Tasks::new();
        let kv = kv::open(&house).await.unwrap();
        Self { folder, house, kv, namespace }
    }

    fn advance_s(&self, seconds: u64) {
        self.house.clock.advance(Duration::from_secs(seconds));
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("kv/blobs")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Speaks as workerd does.
    async fn binding(&self, request: Request<Body>) -> Answer {
        let door = self.kv.product.binding.clone().unwrap();
        let response = door(Arc::clone(&self.namespace), request).await;
        read(response).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.binding(Request::get(target).body(Body::empty()).unwrap()).await
    }

    async fn put(&self, target: &str, value: impl Into<Body>) -> Answer {
        self.binding(Request::put(target).body(value.into()).unwrap()).await
    }

    async fn delete(&self, target: &str) -> Answer {
        self.binding(Request::delete(target).body(Body::empty()).unwrap()).await
    }

    /// Speaks as wrangler does; `path` begins behind `/namespaces`.
    async fn rest(&self, method: &str, path: &str, body: &str) -> Answer {
        let uri = format!("/accounts/{}/storage/kv/namespaces{path}", self.house.account);
        self.rest_request(Request::builder().method(method).uri(uri).body(body.to_owned().into()).unwrap())
            .await
    }

    /// The same, with `path` behind the test's namespace.
    async fn rest_in(&self, method: &str, path: &str, body: &str) -> Answer {
        self.rest(method, &format!("/{}{path}", self.namespace), body).await
    }

    async fn rest_request(&self, request: Request<Body>) -> Answer {
        read(self.kv.product.rest.clone().oneshot(request).await.unwrap()).await
    }
}

async fn read(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let reason = parts.extensions.get::<ReasonPhrase>();
    let reason = reason.map(|reason| String::from_utf8(reason.as_bytes().to_vec()).unwrap());
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, reason, headers: parts.headers, body }
}
