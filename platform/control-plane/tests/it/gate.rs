//! Who is let through: credentials of every kind, accounts, scopes.

use axum::{
    body::Body,
    http::{Request, request::Builder},
};
use serde_json::{Value, json};

use crate::harness::Api;

/// Every route of the control plane itself, one of each product, and one that does not exist.
const ROUTES: [(&str, &str); 15] = [
    ("GET", "/user"),
    ("GET", "/user/tokens"),
    ("POST", "/user/tokens"),
    ("GET", "/user/tokens/verify"),
    ("GET", "/user/tokens/permission_groups"),
    ("GET", "/user/tokens/0123456789abcdef0123456789abcdef"),
    ("DELETE", "/user/tokens/0123456789abcdef0123456789abcdef"),
    ("GET", "/memberships"),
    ("GET", "/accounts"),
    ("GET", "/accounts/fedcba9876543210fedcba9876543210"),
    ("GET", "/accounts/fedcba9876543210fedcba9876543210/tokens/verify"),
    ("GET", "/zones"),
    ("PUT", "/accounts/fedcba9876543210fedcba9876543210/workers/scripts/hello"),
    ("POST", "/accounts/fedcba9876543210fedcba9876543210/storage/kv/namespaces"),
    ("GET", "/no/such/route"),
];

#[tokio::test]
async fn no_route_answers_without_a_valid_token() {
    let api = Api::open().await;
    let (id, revoked) = api.token_with(&["All Write"]).await;
    api.call(&api.token(), "DELETE", &format!("/user/tokens/{id}"), Value::Null).await.ok();
    let wrong = "x".repeat(40);
    for (method, path) in ROUTES {
        let is_of_product = path.contains("/workers/") || path.contains("/storage/");
        let unknown = match (path.ends_with("/tokens/verify"), is_of_product) {
            (true, _) => (401, 1_000),
            (false, true) => (401, 10_000),
            (false, false) => (403, 9_109),
        };
        let with = |add: &dyn Fn(Builder) -> Builder| {
            let request = Request::builder().method(method).uri(format!("/client/v4{path}"));
            add(request).body(Body::empty()).expect("a request")
        };
        let bearer = |token: &str| format!("Bearer {token}");
        let cases = [
            (with(&|request| request), (400, 9_106)),
            (with(&|request| request.header("x-auth-key", &wrong)), (400, 9_106)),
            (with(&|request| request.header("authorization", bearer(&wrong))), unknown),
            (with(&|request| request.header("authorization", bearer(&revoked))), unknown),
            (with(&|request| request.header("x-auth-key", &wrong).header("x-auth-email", "a@b")), unknown),
            (with(&|request| request.header("authorization", "Bearer ")), (400, 6_003)),
            (with(&|request| request.header("authorization", "Bearer a b")), (400, 6_003)),
            (with(&|request| request.header("authorization", &wrong)), (400, 6_003)),
            (with(&|request| request.header("authorization", "Basic eDp5")), (400, 6_003)),
            (with(&|request| request.header("authorization", bearer(&"x".repeat(1_025)))), (400, 6_003)),
            (
                with(&|request| {
                    request
                        .header("authorization", bearer(&api.token()))
                        .header("authorization", bearer(&wrong))
                }),
                (400, 6_003),
            ),
        ];
        for (position, (request, expected)) in cases.into_iter().enumerate() {
            let answer = api.send(request).await;
            assert_eq!(answer.refusal(), expected, "{method} {path}, case {position}");
        }
    }
}

#[tokio::test]
async fn a_token_is_taken_under_either_header() {
    let api = Api::open().await;
    api.get(&api.token(), "/user").await.ok();
    let request = Request::builder().uri("/client/v4/user").header("x-auth-email", "owner@localhost");
    let request = request.header("x-auth-key", api.token()).body(Body::empty()).expect("a request");
    api.send(request).await.ok();
}

#[tokio::test]
async fn an_account_that_is_not_ours_is_refused_before_any_route() {
    let api = Api::open().await;
    let token = api.token();
    for (account, expected) in [
        ("0123456789abcdef0123456789abcdef", (403, 10_000)),
        ("nonsense", (404, 7_003)),
        ("%66edcba9876543210fedcba987654321", (404, 7_003)),
        ("", (404, 7_003)),
    ] {
        for rest in ["", "/workers/scripts/hello", "/tokens/verify", "/nowhere"] {
            let answer = api.get(&token, &format!("/accounts/{account}{rest}")).await;
            assert_eq!(answer.refusal(), expected, "{account}{rest}");
        }
    }
}

#[tokio::test]
async fn a_token_with_a_narrow_scope_stays_in_it() {
    let api = Api::open().await;
    let (_, scripts) = api.token_with(&["Workers Scripts Write"]).await;
    let (_, reader) = api.token_with(&["All Read"]).await;
    let script = api.account("/workers/scripts/hello");
    let kv = api.account("/storage/kv/namespaces");
    let cases = [
        (&scripts, "PUT", script.as_str(), true),
        (&scripts, "GET", &kv, false),
        (&scripts, "POST", "/user/tokens", false),
        (&scripts, "GET", "/user/tokens/verify", true),
        (&reader, "GET", &kv, true),
        (&reader, "POST", &kv, false),
        (&reader, "DELETE", "/user/tokens/0123456789abcdef0123456789abcdef", false),
    ];
    for (token, method, path, is_allowed) in cases {
        let answer = api.call(token, method, path, json!({})).await;
        if is_allowed {
            answer.ok();
        } else {
            assert_eq!(answer.refusal(), (403, 10_000), "{method} {path}");
        }
    }
}
