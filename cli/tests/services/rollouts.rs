//! Which version of a target answers while two of them are deployed.

use std::collections::HashSet;

use http::Method;
use serde_json::json;
use testkit::{Script, Server};

use crate::support::{ask, asking, service};

const CALLS: u32 = 600;

/// A Worker that says its version, by request and by call.
const TELLING: &str = r#"
import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
    fetch() { return new Response(this.env.META.id); }
    id() { return this.env.META.id; }
}"#;

const CALLER: &str = r#"
    const { TARGET } = env;
    const count = Number(url.searchParams.get("count") ?? 1);
    const headers = new Headers();
    for (const name of ["Cloudflare-Workers-Version-Overrides", "Cloudflare-Workers-Version-Key"]) {
        const value = url.searchParams.get(name);
        if (value !== null) headers.set(name, value);
    }
    const ids = [];
    for (let index = 0; index < count; index++) {
        if (url.pathname === "/call") ids.push(await TARGET.id());
        else ids.push(await (await TARGET.fetch("http://x/", { headers })).text());
    }
    return ids;"#;

/// Two versions with shares of 100 %, and a Worker that calls them.
async fn split(old_share: u32) -> (Server, String, String) {
    let server = Server::start().await;
    let script =
        Script::module("target", TELLING).binding(json!({"name": "META", "type": "version_metadata"}));
    let deployed = server.deploy(&script).await;
    let old = deployed["result"]["deployment_id"].as_str().expect("an id").to_owned();
    let latest = "/accounts/{account}/workers/workers/target/versions/latest";
    let made = server.api(Method::PATCH, latest, Some(&json!({}))).await.expect(200).json();
    let new = made["result"]["id"].as_str().expect("an id").to_owned();
    let versions = json!([
        {"version_id": old, "percentage": old_share},
        {"version_id": new, "percentage": 100 - old_share},
    ]);
    let deployments = "/accounts/{account}/workers/scripts/target/deployments";
    let body = json!({"strategy": "percentage", "versions": versions});
    let _ = server.api(Method::POST, deployments, Some(&body)).await.expect(200);
    server.deploy(&asking("caller", CALLER).binding(service("TARGET", "target"))).await;
    (server, old, new)
}

async fn ids(server: &Server, path: &str) -> Vec<String> {
    let answer = ask(server, "caller", path).await.expect(200).json();
    let ids = answer.as_array().expect("a list").iter();
    ids.map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>().expect("texts")
}

#[tokio::test]
async fn each_call_and_each_request_has_its_version_drawn_by_share() {
    let (server, old, new) = split(70).await;
    for kind in ["call", "fetch"] {
        let seen = ids(&server, &format!("/{kind}?count={CALLS}")).await;
        let count =
            |id: &str| f64::from(u32::try_from(seen.iter().filter(|seen| *seen == id).count()).expect("few"));
        let expected = f64::from(CALLS) * 0.7;
        let sigma = (expected * 0.3).sqrt();
        assert!((count(&old) - expected).abs() <= 5.0 * sigma, "{kind}: {} of {CALLS}", count(&old));
        assert!((count(&old) + count(&new) - f64::from(CALLS)).abs() < 0.5, "{kind}: {seen:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_over_a_binding_can_name_its_version_or_keep_one_by_key() {
    let (server, old, new) = split(100).await;
    let naming =
        |id: &str| format!("/fetch?count=20&Cloudflare-Workers-Version-Overrides=target%3D%22{id}%22");
    assert_eq!(ids(&server, &naming(&new)).await, vec![new.clone(); 20], "one with 0 % too");
    assert_eq!(ids(&server, "/fetch?count=20").await, vec![old.clone(); 20]);
    // Calls have no headers, and what the caller was asked with is not passed on.
    assert_eq!(ids(&server, &naming(&new).replace("/fetch", "/call")).await, vec![old; 20]);
    server.stop().await;

    let (server, _, _) = split(50).await;
    let mut versions = HashSet::new();
    for key in 0..20 {
        let of_key = ids(&server, &format!("/fetch?count=5&Cloudflare-Workers-Version-Key=user-{key}")).await;
        assert!(of_key.iter().all(|id| *id == of_key[0]), "{of_key:?}");
        versions.insert(of_key[0].clone());
    }
    assert_eq!(versions.len(), 2);
    server.stop().await;
}
