//! Every route of the API refuses whoever may not use it. The routes are read from the router itself, so that one added
//! later is here without being listed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header::AUTHORIZATION},
};
use control_plane::{ControlPlane, Tokens};
use futures_util::future::BoxFuture;
use model::{BucketName, DatabaseId, NamespaceId};
use product::House;
use serde_json::{Value, json};
use store::{Database, Options, StoreError, Vault};
use tasks::{Clock, Tasks};
use tempfile::TempDir;
use tower::ServiceExt as _;

const ACCOUNT: &str = "fedcba9876543210fedcba9876543210";
const V4: &str = "/client/v4";
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

/// Groups that are granted one by one, with what is in the paths that they are for.
const AREAS: [(&str, &str); 5] = [
    ("Workers Scripts", "/workers"),
    ("Workers KV Storage", "/storage/kv/"),
    ("Workers R2 Storage", "/r2/"),
    ("D1", "/d1/"),
    ("API Tokens", "/user/tokens"),
];

#[tokio::test]
async fn every_route_refuses_a_token_without_the_right_scope() {
    let folder = TempDir::new().expect("a temporary folder");
    let (api, owner) = open(&folder).await;
    let paths = paths_of(&api);
    let count = |part: &str| paths.iter().filter(|path| path.contains(part)).count();
    let counts = AREAS.map(|(_, part)| count(part));
    assert!(
        counts[0] > 25 && counts[1] > 6 && counts[2] > 2 && counts[3] > 3 && counts[4] > 3,
        "routes are missing: {paths:#?}"
    );

    for (area, part) in AREAS {
        let others = AREAS.iter().filter(|(other, _)| *other != area);
        let others: Vec<String> = others.map(|(other, _)| format!("{other} Write")).collect();
        let stranger = token(&api, &owner, &others).await;
        let reader = token(&api, &owner, &[format!("{area} Read")]).await;
        for path in paths.iter().filter(|path| path.contains(part)) {
            for method in METHODS {
                assert_eq!(call(&api, None, method, path).await, (400, 9_106), "nobody: {method} {path}");
                // Every token may ask whether it is one.
                if path.ends_with("/tokens/verify") && method == "GET" {
                    continue;
                }
                let found = call(&api, Some(&stranger), method, path).await;
                assert_eq!(found, (403, 10_000), "{others:?}: {method} {path}");
                // Reads many keys, with a POST because of their list.
                if method != "GET" && !path.ends_with("/bulk/get") {
                    let found = call(&api, Some(&reader), method, path).await;
                    assert_eq!(found, (403, 10_000), "{area} Read: {method} {path}");
                }
            }
        }
    }
    // What is of no area can be read at most, and only by those who have a token.
    let all: Vec<String> = AREAS.iter().map(|(area, _)| format!("{area} Write")).collect();
    let everywhere = token(&api, &owner, &all).await;
    for path in paths.iter().filter(|path| AREAS.iter().all(|(_, part)| !path.contains(part))) {
        for method in METHODS {
            assert_eq!(call(&api, None, method, path).await, (400, 9_106), "nobody: {method} {path}");
            if method != "GET" {
                let found = call(&api, Some(&everywhere), method, path).await;
                assert_eq!(found, (403, 10_000), "{method} {path}");
            }
        }
    }
}

/// The API as the server puts it together, and the token of its owner.
async fn open(folder: &TempDir) -> (Router, String) {
    let migrations = [workers::MIGRATIONS, control_plane::MIGRATIONS, d1::MIGRATIONS].concat();
    let meta = Database::open(&folder.path().join("meta.sqlite"), &migrations, Options { readers: 2 });
    let house = House {
        data: folder.path().to_owned(),
        meta: meta.expect("the database opens"),
        vault: Vault::open(&folder.path().join("master.key")).expect("the vault opens"),
        account: ACCOUNT.parse().expect("an id"),
        clock: Clock::system(),
        tasks: Tasks::new(),
    };
    let tokens = Tokens::open(&house).await.expect("the tokens open");
    let owner = tokens.make_owner().await.expect("the first token");
    let settings = workers::Settings {
        base_domain: "localhost".to_owned(),
        http_port: 8787,
        script_bytes_max: workers::SCRIPT_BYTES_MAX,
        zones: Vec::new(),
    };
    let (workers, _, _) =
        workers::open(&house, settings, Arc::new(Nothing)).await.expect("the register opens");
    let kv = kv::open(&house).await.expect("KV opens");
    let objects = durable_objects::open(&house).expect("the objects open");
    let r2 = r2::open(&house, "localhost").await.expect("R2 opens");
    let time_travel = d1::TimeTravel { keep: Duration::from_secs(1), bytes_max: 1_000_000 };
    let d1 = d1::open(&house, time_travel).expect("D1 opens");
    let router = control_plane::router(ControlPlane {
        account: house.account.clone(),
        tokens,
        products: vec![workers.rest, kv.product.rest, r2.product.rest, d1.product.rest, objects.product.rest],
        signed: vec![d1.databases.signed_urls()],
        datasets: r2.product.datasets,
        metrics: Arc::new(String::new),
        is_loopback: true,
    });
    (router, owner.token)
}

/// All paths below `/client/v4`, with something in the place of each parameter. axum lists a router's paths nowhere but
/// in its debug form; the counts in the test tell if that changes.
fn paths_of(api: &Router) -> BTreeSet<String> {
    let debug = format!("{api:?}");
    let quoted =
        debug.split('"').filter(|text| text.starts_with(&format!("{V4}/")) && !text.contains("{*__private"));
    quoted.map(filled).collect()
}

fn filled(path: &str) -> String {
    let segment = |segment: &str| match segment {
        "{account_id}" => ACCOUNT.to_owned(),
        parameter if parameter.starts_with('{') => "0123456789abcdef0123456789abcdef".to_owned(),
        fixed => fixed.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

async fn token(api: &Router, owner: &str, groups: &[String]) -> String {
    let listed = answer(api, Some(owner), "GET", &format!("{V4}/user/tokens/permission_groups"), "").await.1;
    let listed = listed["result"].as_array().expect("a list").iter();
    let groups: Vec<&Value> =
        listed.filter(|group| groups.iter().any(|name| group["name"] == name.as_str())).collect();
    assert!(!groups.is_empty());
    let resources = json!({format!("com.cloudflare.api.account.{ACCOUNT}"): "*"});
    let policy = json!({"effect": "allow", "resources": resources, "permission_groups": groups});
    let body = json!({"name": "a token", "policies": [policy]}).to_string();
    let (status, made) = answer(api, Some(owner), "POST", &format!("{V4}/user/tokens"), &body).await;
    assert_eq!(status, 200, "{made}");
    made["result"]["value"].as_str().expect("a token").to_owned()
}

/// Status and code of the refusal.
async fn call(api: &Router, token: Option<&str>, method: &str, path: &str) -> (u16, u64) {
    let (status, json) = answer(api, token, method, path, "").await;
    (status, json["errors"][0]["code"].as_u64().unwrap_or_default())
}

async fn answer(api: &Router, token: Option<&str>, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = api.clone().oneshot(request).await.expect("a router never fails");
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("an answer");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// No binding names anything here.
struct Nothing;

impl workers::Bindable for Nothing {
    fn kv_namespace_exists<'a>(&'a self, _id: &'a NamespaceId) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    fn r2_bucket_exists<'a>(&'a self, _name: &'a BucketName) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    fn d1_database_exists(&self, _id: DatabaseId) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }
}
