//! What R2 promises, through two of its doors: the binding's wire that workerd speaks, and the v4 routes.

#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its tests do")]

mod atomic;
mod damage;
mod history;
mod hostile;
mod plain;
mod rest;
mod s3;
mod wire;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use model::AccountId;
use product::House;
use r2::R2;
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use tower::ServiceExt;

/// The millisecond at which a test's clock stands.
const NOW_MS: u64 = 1_800_000_000_000;

const MIB: usize = 1024 * 1024;

/// An R2 in a folder of its own, with a clock that stands still.
struct Room {
    folder: tempfile::TempDir,
    house: House,
    r2: R2,
    /// A bucket that was made for the test.
    bucket: Arc<str>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Whether the body broke off.
    is_broken: bool,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON with which an answer on the binding's wire begins.
    fn described(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.error());
        serde_json::from_slice(&self.body[..self.described_bytes()]).unwrap()
    }

    /// The object's bytes behind it.
    fn value(&self) -> &[u8] {
        &self.body[self.described_bytes()..]
    }

    fn described_bytes(&self) -> usize {
        self.headers["cf-r2-metadata-size"].to_str().unwrap().parse().unwrap()
    }

    /// R2's code and message on the binding's wire.
    fn error(&self) -> Option<(u64, String)> {
        let text: Value = serde_json::from_str(self.headers.get("cf-r2-error")?.to_str().ok()?).ok()?;
        Some((text["v4code"].as_u64()?, text["message"].as_str()?.to_owned()))
    }

    fn code(&self) -> Option<u64> {
        self.error().map(|(code, _)| code)
    }

    /// Status and code of a v4 refusal.
    fn refusal(&self) -> (u16, u64) {
        (self.status.as_u16(), self.json()["errors"][0]["code"].as_u64().unwrap())
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
            clock: Clock::manual(NOW_MS),
            tasks: Tasks::new(),
        };
        let r2 = r2::open(&house, "localhost").await.unwrap();
        let room = Self { folder, house, r2, bucket: "bucket".into() };
        let created = room.rest("POST", "", &[], json!({"name": "bucket"}).to_string()).await;
        assert_eq!(created.status, 200);
        room
    }

    /// Speaks as workerd does when it only asks.
    async fn ask(&self, call: &Value) -> Answer {
        let request = Request::get("/").header("cf-r2-request", call.to_string().as_bytes());
        self.binding(request.body(Body::empty()).unwrap()).await
    }

    /// Speaks as workerd does when it changes something.
    async fn call(&self, call: &Value, value: &[u8]) -> Answer {
        let call = call.to_string();
        let body = [call.as_bytes(), value].concat();
        let request = Request::put("/").header("cf-r2-metadata-size", call.len());
        self.binding(request.header("content-length", body.len()).body(Body::from(body)).unwrap()).await
    }

    async fn put(&self, key: &str, value: &[u8]) -> Answer {
        self.call(&json!({"version": 1, "method": "put", "object": key}), value).await
    }

    async fn get(&self, key: &str) -> Answer {
        self.ask(&json!({"version": 1, "method": "get", "object": key})).await
    }

    async fn delete(&self, key: &str) -> Answer {
        self.call(&json!({"version": 1, "method": "delete", "object": key}), b"").await
    }

    async fn binding(&self, request: Request<Body>) -> Answer {
        read(self.send(request).await).await
    }

    /// The same, with the body yet to be read.
    async fn send(&self, request: Request<Body>) -> axum::response::Response {
        let door = self.r2.product.binding.clone().unwrap();
        door(Arc::clone(&self.bucket), request).await
    }

    /// Speaks as wrangler does; `path` begins behind `/buckets`.
    async fn rest(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let uri = format!("/accounts/{}/r2/buckets{path}", self.house.account);
        let mut request = Request::builder().method(method).uri(uri);
        if path.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.r2.product.rest.clone().oneshot(request.body(body.into()).unwrap()).await;
        read(answer.unwrap()).await
    }

    /// All files of bodies.
    fn files(&self) -> Vec<PathBuf> {
        let shards = entries(&self.folder.path().join("r2"));
        let folders = shards.iter().filter(|path| path.is_dir()).flat_map(|shard| entries(shard));
        folders.flat_map(|folder| entries(&folder)).collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Bytes that differ at each place.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()).collect()
}

async fn read(response: axum::response::Response) -> Answer {
    let (parts, mut body) = response.into_parts();
    let (mut whole, mut is_broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => is_broken = true,
        }
        if is_broken {
            break;
        }
    }
    Answer { status: parts.status, headers: parts.headers, body: whole.into(), is_broken }
}
