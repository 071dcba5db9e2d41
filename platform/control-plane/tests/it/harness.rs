//! The API with a product that has one route of each kind.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::DefaultBodyLimit,
    http::{HeaderMap, Request, StatusCode, header::AUTHORIZATION},
    routing::{get, post},
};
use control_plane::{ControlPlane, Credentials, MIGRATIONS, Tokens, router};
use model::AccountId;
use product::{Dataset, House, Rows};
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use tempfile::TempDir;
use tower::ServiceExt;
use v4::Envelope;

/// 2026-11-21T08:00:00Z
const NOW_MS: u64 = 1_795_248_000_000;

/// An open API.
pub(crate) struct Api {
    pub(crate) folder: TempDir,
    pub(crate) house: House,
    pub(crate) router: Router,
    tokens: Tokens,
    /// `None` when the folder was opened again.
    pub(crate) first: Option<Credentials>,
}

impl Api {
    pub(crate) async fn open() -> Self {
        let mut api = Self::open_in(tempfile::tempdir().expect("a temporary folder")).await;
        api.first = Some(api.tokens.make_owner().await.expect("the first token"));
        api
    }

    pub(crate) async fn open_in(folder: TempDir) -> Self {
        let house = house(folder.path());
        let tokens = Tokens::open(&house).await.expect("the tokens open");
        let router = router(ControlPlane {
            account: house.account.clone(),
            tokens: tokens.clone(),
            products: vec![product()],
            signed: Vec::new(),
            datasets: vec![dataset()],
            metrics: Arc::new(|| "skerry_up 1\n".to_owned()),
            is_loopback: true,
        });
        Self { folder, house, router, tokens, first: None }
    }

    pub(crate) fn token(&self) -> String {
        self.first.as_ref().expect("the first start").token.clone()
    }

    pub(crate) fn account(&self, rest: &str) -> String {
        format!("/accounts/{}{rest}", self.house.account)
    }

    /// Calls with a bearer token.
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().header(AUTHORIZATION, format!("Bearer {token}"));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.method(method).uri(format!("/client/v4{path}")).body(body);
        self.send(request.expect("a request")).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(token, "GET", path, Value::Null).await
    }

    /// Makes a token with the named permission groups; returns its id and text.
    pub(crate) async fn token_with(&self, groups: &[&str]) -> (String, String) {
        let listed = self.get(&self.token(), "/user/tokens/permission_groups").await.ok();
        let listed = listed.as_array().expect("a list").clone();
        let group =
            |name: &&str| listed.iter().find(|group| group["name"] == *name).expect("a group").clone();
        let groups: Vec<Value> = groups.iter().map(group).collect();
        let resources = json!({format!("com.cloudflare.api.account.{}", self.house.account): "*"});
        let policy = json!({"effect": "allow", "resources": resources, "permission_groups": groups});
        let body = json!({"name": "a token", "policies": [policy]});
        let made = self.call(&self.token(), "POST", "/user/tokens", body).await.ok();
        let text = |field: &str| made[field].as_str().expect("text").to_owned();
        (text("id"), text("value"))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("an answer");
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, json, bytes }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self.json["result"].clone()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        assert_eq!(self.json["success"], false, "{}", self.json);
        (self.status.as_u16(), self.json["errors"][0]["code"].as_u64().expect("a code"))
    }
}

pub(crate) fn house(folder: &Path) -> House {
    let meta = Database::open(&folder.join("meta.sqlite"), MIGRATIONS, Options { readers: 2 });
    House {
        data: folder.to_owned(),
        meta: meta.expect("the database opens"),
        vault: Vault::open(&folder.join("master.key")).expect("the vault opens"),
        account: "fedcba9876543210fedcba9876543210".parse::<AccountId>().expect("an id"),
        clock: Clock::manual(NOW_MS),
        tasks: Tasks::new(),
    }
}

async fn panics() -> Envelope<()> {
    panic!("a handler's own mistake")
}

fn product() -> Router {
    const A: &str = "/accounts/{account_id}";
    let length = |body: Bytes| async move { Envelope::new(body.len()) };
    Router::new()
        .route(&format!("{A}/workers/scripts/{{script}}"), get(|| async { Envelope::new(()) }).put(length))
        .route(&format!("{A}/storage/kv/namespaces"), get(|| async { Envelope::new(()) }).post(length))
        .route(&format!("{A}/workers/large"), post(length).layer(DefaultBodyLimit::max(4 << 20)))
        .route(&format!("{A}/workers/panics"), get(panics))
}

/// What one day of fruit looked like.
fn dataset() -> Dataset {
    let row = |fruit: &str, day: u8, eaten: u64| {
        json!({
            "sum": {"eaten": eaten},
            "dimensions": {"fruit": fruit, "datetime": format!("2027-01-{day:02}T00:00:00Z")},
        })
    };
    let rows = vec![row("apple", 1, 3), row("apple", 2, 5), row("pear", 2, 4)];
    let rows: Rows = Arc::new(move |_filter| Box::pin(std::future::ready(Ok(rows.clone()))));
    Dataset { name: "fruitAdaptiveGroups", rows }
}
