//! What D1 promises through its doors: the v4 routes, the URLs without a token that belong to them, and the binding's `dump()`.

#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its tests do")]

mod analytics;
mod backup;
mod databases;
mod export;
mod import;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use d1::D1;
use http_body_util::BodyExt;
use model::AccountId;
use product::House;
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use tower::ServiceExt;

/// The millisecond at which a test's clock stands.
const NOW_MS: u64 = 1_800_000_000_000;

/// A D1 in a folder of its own, with a clock that stands still.
struct Room {
    folder: tempfile::TempDir,
    house: House,
    d1: D1,
    /// A database that was made for the test.
    id: Arc<str>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
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

    fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap().to_owned()
    }
}

impl Room {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = House {
            data: folder.path().to_owned(),
            meta: Database::open(&folder.path().join("meta.sqlite"), d1::MIGRATIONS, Options::default())
                .unwrap(),
            vault: Vault::open(&folder.path().join("master.key")).unwrap(),
            account: AccountId::random(),
            clock: Clock::manual(NOW_MS),
            tasks: Tasks::new(),
        };
        let d1 = d1::open(&house).unwrap();
        let mut room = Self { folder, house, d1, id: "".into() };
        let created = room.rest("POST", "", &json!({"name": "test"})).await.result();
        room.id = created["uuid"].as_str().unwrap().into();
        room
    }

    /// Stops everything and opens the same folder again.
    async fn restart(self) -> Self {
        let Self { folder, mut house, d1, id } = self;
        assert!(house.tasks.stop(Duration::from_secs(5)).await);
        d1.databases.close().await;
        drop(d1);
        house.tasks = Tasks::new();
        let d1 = d1::open(&house).unwrap();
        Self { folder, house, d1, id }
    }

    /// Speaks as wrangler does; `path` begins behind `/database`.
    async fn rest(&self, method: &str, path: &str, body: &Value) -> Answer {
        let uri = format!("/accounts/{}/d1/database{path}", self.house.account);
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(uri).header("host", "api.test:1");
        self.send(&self.d1.product.rest, request.body(body).unwrap()).await
    }

    /// The same, about the test's database.
    async fn ask(&self, path: &str, body: Value) -> Answer {
        self.rest("POST", &format!("/{}{path}", self.id), &body).await
    }

    /// Runs SQL; all rows of the last statement.
    async fn rows(&self, sql: &str) -> Value {
        let results = self.ask("/raw", json!({"sql": sql})).await.result();
        results.as_array().unwrap().last().unwrap()["results"]["rows"].clone()
    }

    /// Calls a URL that needs no token.
    async fn signed(&self, method: &str, url: &str, body: impl Into<Body>) -> Answer {
        let path = url.strip_prefix("http://api.test:1").expect("the address that was asked");
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        self.send(&self.d1.databases.signed_urls(), request).await
    }

    async fn send(&self, router: &Router, request: Request<Body>) -> Answer {
        let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Files of imports, exports and backups.
    fn transfers(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("d1/transfers")).unwrap().count()
    }
}
