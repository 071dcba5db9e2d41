//! Who am I, and tokens over the API.

use std::{fs, time::Duration};

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::harness::Api;

#[tokio::test]
async fn wrangler_whoami_finds_the_account() {
    let api = Api::open().await;
    let token = api.token();
    let account = api.house.account.to_string();
    let verified = api.get(&token, "/user/tokens/verify").await;
    assert_eq!(verified.json["messages"][0]["message"], "This API Token is valid and active");
    assert_eq!(verified.ok()["status"], "active");
    assert_eq!(api.get(&token, &api.account("/tokens/verify")).await.ok()["status"], "active");
    assert_eq!(api.get(&token, "/user").await.ok()["email"], "owner@localhost");
    assert_eq!(api.get(&token, "/accounts?page=1").await.ok()[0]["id"], account);
    assert_eq!(api.get(&token, "/accounts?page=2").await.ok(), json!([]));
    assert_eq!(api.get(&token, &api.account("")).await.ok()["id"], account);
    assert_eq!(api.get(&token, "/memberships?page=1").await.ok()[0]["account"]["id"], account);
}

#[tokio::test]
async fn a_tokens_text_is_shown_once_and_kept_nowhere() {
    let api = Api::open().await;
    let (id, text) = api.token_with(&["All Write"]).await;
    assert_eq!(text.len(), 40);
    let list = api.get(&text, "/user/tokens").await;
    let one = api.get(&text, &format!("/user/tokens/{id}")).await;
    for answer in [list, one] {
        assert!(!String::from_utf8_lossy(&answer.bytes).contains(&text));
    }
    for entry in fs::read_dir(api.folder.path()).expect("the folder") {
        let bytes = fs::read(entry.expect("a file").path()).expect("its bytes");
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()));
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_revoked_one_does_not() {
    let api = Api::open().await;
    let token = api.token();
    let (id, revoked) = api.token_with(&["All Write"]).await;
    let (_, kept) = api.token_with(&["All Read"]).await;
    api.call(&token, "DELETE", &format!("/user/tokens/{id}"), Value::Null).await.ok();
    let again = api.call(&token, "DELETE", &format!("/user/tokens/{id}"), Value::Null).await;
    assert_eq!(again.refusal(), (404, 1_003));
    api.house.meta.close().await;

    let api = Api::open_in(api.folder).await;
    api.get(&token, "/user").await.ok();
    api.get(&kept, "/user").await.ok();
    assert_eq!(api.get(&revoked, "/user").await.refusal(), (403, 9_109));
    assert_eq!(api.call(&kept, "POST", "/user/tokens", json!({})).await.refusal(), (403, 10_000));
}

#[tokio::test]
async fn a_token_is_revoked_even_if_the_caller_hangs_up() {
    let api = Api::open().await;
    let token = api.token();
    let (id, revoked) = api.token_with(&["All Write"]).await;
    let path = format!("/user/tokens/{id}");
    // Polled once: the deletion is on its way to the disk, and nobody waits for it any more.
    assert!(api.call(&token, "DELETE", &path, Value::Null).now_or_never().is_none());
    assert!(api.house.tasks.stop(Duration::from_secs(10)).await);
    assert_eq!(api.get(&revoked, "/user").await.refusal(), (403, 9_109));
}

#[tokio::test]
async fn a_token_works_only_in_its_time() {
    let api = Api::open().await;
    let resources = json!({"com.cloudflare.api.account.*": "*"});
    let groups = json!([{"id": "e086da7e2179491d91ee5f35b3ca210a"}]);
    let policy = json!({"effect": "allow", "resources": resources, "permission_groups": groups});
    let body = json!({"name": "short", "policies": [policy],
        "not_before": "2026-11-21T08:00:10Z", "expires_on": "2026-11-21T09:01:00+01:00"});
    let made = api.call(&api.token(), "POST", "/user/tokens", body).await.ok();
    let text = made["value"].as_str().expect("a text");
    assert_eq!(made["status"], "disabled");
    assert_eq!(api.get(text, "/user").await.refusal(), (403, 9_109));
    api.house.clock.advance(Duration::from_secs(10));
    api.get(text, "/user").await.ok();
    api.house.clock.advance(Duration::from_secs(50));
    assert_eq!(api.get(text, "/user").await.refusal(), (403, 9_109));
}

#[tokio::test]
async fn a_token_that_cannot_be_is_refused() {
    let api = Api::open().await;
    let good = json!({"effect": "allow", "resources": {"com.cloudflare.api.account.*": "*"},
        "permission_groups": [{"id": "e086da7e2179491d91ee5f35b3ca210a"}]});
    let policy = |field: &str, value: Value| {
        let mut policy = good.clone();
        policy[field] = value;
        json!({"name": "t", "policies": [policy]})
    };
    let foreign = json!({"com.cloudflare.api.account.0123456789abcdef0123456789abcdef": "*"});
    let bodies = [
        json!({}),
        json!({"name": "t", "policies": []}),
        json!({"name": "", "policies": [good]}),
        json!({"name": "x".repeat(121), "policies": [good]}),
        json!({"name": "t", "policies": [good], "expires_on": "tomorrow"}),
        json!({"name": "t", "policies": [good], "condition": {"request_ip": {"in": ["192.0.2.0/24"]}}}),
        policy("effect", json!("deny")),
        policy("resources", foreign),
        policy("permission_groups", json!([])),
        policy("permission_groups", json!([{"id": "unknown"}])),
    ];
    for body in bodies {
        let answer = api.call(&api.token(), "POST", "/user/tokens", body.clone()).await;
        assert_eq!(answer.refusal(), (400, 7_400), "{body}");
    }
    assert_eq!(api.get(&api.token(), "/user/tokens").await.ok().as_array().map(Vec::len), Some(1));
}
