//! What D1 promises, through its doors: the binding's wire that workerd speaks, the v4 routes, and the URLs without a
//! token that belong to those.

#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its tests do")]

mod analytics;
mod backup;
mod databases;
mod export;
mod hostile;
mod import;
mod lifecycle;
mod sql;
mod time_travel;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use d1::{D1, TimeTravel};
use http_body_util::BodyExt;
use model::AccountId;
use product::House;
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use tower::ServiceExt;

/// The second at which a test's clock stands.
const NOW_S: u64 = 1_800_000_000;

/// What is kept of a database's past.
const TIME_TRAVEL: TimeTravel =
    TimeTravel { keep: Duration::from_secs(30 * 24 * 3600), bytes_max: 100_000_000 };

/// A D1 in a folder of its own, with a clock that stands still.
struct Room {
    folder: tempfile::TempDir,
    house: House,
    d1: D1,
    /// A database that was made for the test.
    database: Arc<str>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
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
        Self::with_clock(Clock::manual(NOW_S * 1000)).await
    }

    async fn with_clock(clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meta = folder.path().join("meta.sqlite");
        let house = House {
            data: folder.path().to_owned(),
            meta: Database::open(&meta, d1::MIGRATIONS, Options::default()).unwrap(),
            vault: Vault::open(&folder.path().join("master.key")).unwrap(),
            account: AccountId::random(),
            clock,
            tasks: Tasks::new(),
        };
        let d1 = d1::open(&house, TIME_TRAVEL).unwrap();
        let mut room = Self { folder, house, d1, database: "".into() };
        room.database = room.create("test").await;
        room
    }

    async fn create(&self, name: &str) -> Arc<str> {
        let created = self.rest("POST", "", &json!({ "name": name }).to_string()).await.result();
        created["uuid"].as_str().unwrap().into()
    }

    /// Stops everything and opens the same folder again.
    async fn restart(self) -> Self {
        let Self { folder, mut house, d1, database } = self;
        assert!(house.tasks.stop(Duration::from_secs(5)).await);
        d1.databases.close().await;
        drop(d1);
        house.tasks = Tasks::new();
        let d1 = d1::open(&house, TIME_TRAVEL).unwrap();
        Self { folder, house, d1, database }
    }

    /// Where a database's files are.
    fn files(&self, database: &str) -> PathBuf {
        self.folder.path().join("d1").join(database)
    }

    /// Speaks as workerd does, about a database.
    async fn binding(&self, database: &Arc<str>, request: Request<Body>) -> Answer {
        let door = self.d1.product.binding.clone().unwrap();
        read(door(Arc::clone(database), request).await).await
    }

    /// Asks the test's database as `all()` does; the rows, or the error.
    async fn rows(&self, sql: &str) -> Result<Value, String> {
        self.rows_of(&self.database, &json!({ "sql": sql })).await
    }

    async fn rows_of(&self, database: &Arc<str>, query: &Value) -> Result<Value, String> {
        let uri = "http://d1/query?resultsFormat=ROWS_AND_COLUMNS";
        let request = Request::post(uri).body(query.to_string().into()).unwrap();
        let answer = self.binding(database, request).await.json();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer[answer.as_array().unwrap().len() - 1]["results"]["rows"].clone()),
        }
    }

    /// Speaks as wrangler does; `path` begins behind `/database`.
    async fn rest(&self, method: &str, path: &str, body: &str) -> Answer {
        let uri = format!("/accounts/{}/d1/database{path}", self.house.account);
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        read(self.d1.product.rest.clone().oneshot(request).await.unwrap()).await
    }

    /// The same, with `path` behind the test's database.
    async fn rest_in(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.rest(method, &format!("/{}{path}", self.database), &body.to_string()).await
    }
}

impl Room {
    /// As [`Room::rest`] with a body of JSON, or none.
    async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.rest(method, path, &body).await
    }

    /// The same as a POST, about the test's database.
    async fn ask(&self, path: &str, body: Value) -> Answer {
        self.rest_in("POST", path, &body).await
    }

    /// The rows of SQL that must succeed.
    async fn run(&self, sql: &str) -> Value {
        self.rows(sql).await.unwrap()
    }

    /// Calls a URL that needs no token.
    async fn signed(&self, method: &str, url: &str, body: impl Into<Body>) -> Answer {
        let path = url.strip_prefix("http://127.0.0.1").expect("an address of ours");
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        read(self.d1.databases.signed_urls().oneshot(request).await.unwrap()).await
    }

    /// Files of imports, exports and backups.
    fn transfers(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("d1/transfers")).unwrap().count()
    }
}

async fn read(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}
