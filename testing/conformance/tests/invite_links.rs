//! The example `invite-links` deploys with the real wrangler and does over HTTP what its README says.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::{Value, json};
use testkit::{Answer, Project, Server, Wrangler};

const ADMIN: &str = "an admin token of this test";
const TARGET: &str = "https://chat.example.com/rooms/7";

#[tokio::test]
async fn invite_links_redirect_until_they_are_used_up() {
    let server = Server::start().await;
    let project = Project::example("invite-links");
    project.write("secrets.json", json!({ "ADMIN_TOKEN": ADMIN }).to_string());
    let deploy = server.wrangler(Wrangler::New, project.path());
    deploy.args(["deploy", "--secrets-file", "secrets.json"]).succeed().await;

    let _ =
        ask(&server, Method::POST, "/invites", "wrong", Some(json!({ "target": TARGET }))).await.expect(401);
    let wrong = [
        json!({}),
        json!({ "target": "javascript:alert(1)" }),
        json!({ "target": TARGET, "maxUses": 0 }),
        json!({ "target": TARGET, "ttl": 5 }),
    ];
    for body in wrong {
        let _ = ask(&server, Method::POST, "/invites", ADMIN, Some(body)).await.expect(400);
    }

    let invite = json!({ "target": TARGET, "maxUses": 2, "ttl": 3600 });
    let made = ask(&server, Method::POST, "/invites", ADMIN, Some(invite)).await.expect(201).json();
    let code = made["code"].as_str().expect("an invite has a code");
    assert!(made["link"].as_str().is_some_and(|link| link.ends_with(&format!("/{code}"))), "{made}");
    for _ in 0..2 {
        let answer = ask(&server, Method::GET, &format!("/{code}"), "", None).await.expect(302);
        assert_eq!(answer.header("location"), TARGET);
    }
    let gone = ask(&server, Method::GET, &format!("/{code}"), "", None).await.expect(410).json();
    assert_eq!(gone["error"], "the invite is used up");
    let shown = ask(&server, Method::GET, &format!("/invites/{code}"), ADMIN, None).await.expect(200).json();
    assert_eq!((&shown["uses"], &shown["maxUses"]), (&json!(2), &json!(2)));
    let event = server.log().wait_for("invite_clicked", Duration::from_secs(10)).await;
    assert!(event.contains(code), "{event}");

    expired(&server).await;
    let _ = ask(&server, Method::GET, "/nosuchcode", "", None).await.expect(404);
    server.stop().await;
}

/// A link whose time is over, as KV still remembers it.
async fn expired(server: &Server) {
    let namespaces = server.api(Method::GET, "/accounts/{account}/storage/kv/namespaces", None).await.json();
    let namespace = namespaces["result"][0]["id"].as_str().expect("the deployment made a namespace");
    let path = format!("/accounts/{{account}}/storage/kv/namespaces/{namespace}/values/invite:old");
    let old = json!({ "target": TARGET, "maxUses": null, "expiresAt": 1_000_000, "uses": 0 });
    let _ = server.api(Method::PUT, &path, Some(&old)).await.expect(200);
    let gone = ask(server, Method::GET, "/old", "", None).await.expect(410).json();
    assert_eq!(gone["error"], "the invite has expired");
}

async fn ask(server: &Server, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "invite-links.localhost")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    server.send(request.body(body).expect("a valid request")).await
}
