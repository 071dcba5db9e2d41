//! The examples deploy with both wranglers and do over HTTP what their READMEs say; the same drive passes on the reference.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::{Value, json};
use testkit::{Answer, Project, Server, Wrangler, send};

const ORIGIN: &str = "https://app.example.com";

#[tokio::test]
async fn hono_kv_answers_after_a_deployment_with_either_wrangler() {
    let server = Server::start().await;
    for wrangler in Wrangler::ALL {
        let project = Project::example("hono-kv");
        server.wrangler(wrangler, project.path()).args(["deploy"]).succeed().await;
        Site { address: server.http(), host: "hono-kv.localhost" }.drive("production").await;
        server.wrangler(wrangler, project.path()).args(["deploy", "--env", "staging"]).succeed().await;
        Site { address: server.http(), host: "hono-kv-staging.localhost" }.drive("staging").await;
    }
    let namespaces = server.api(Method::GET, "/accounts/{account}/storage/kv/namespaces", None).await.json();
    let titles = namespaces["result"].as_array().expect("a list of namespaces");
    assert_eq!(titles.len(), 2, "each environment has one namespace, created once: {titles:?}");
    server.stop().await;
}

#[tokio::test]
async fn hono_kv_answers_the_same_on_the_reference() {
    let project = Project::example("hono-kv");
    let command = Wrangler::New.command(project.path(), &BTreeMap::new());
    let dev = command.args(["dev", "--ip", "127.0.0.1", "--port", "0", "--env", ""]).start();
    let ready = dev.log().wait_for("Ready on http://", Duration::from_secs(60)).await;
    let (_, address) = ready.split_once("http://").expect("the line was found by this text");
    Site { address: address.trim(), host: "hono-kv.localhost" }.drive("production").await;
}

struct Site<'a> {
    address: &'a str,
    host: &'a str,
}

impl Site<'_> {
    async fn drive(&self, environment: &str) {
        let health = self.ask(Method::GET, "/health", None).await.expect(200).json();
        assert_eq!(health, json!({ "status": "ok", "environment": environment }));
        self.sessions().await;
        self.refusals().await;
        self.cors().await;
    }

    async fn sessions(&self) {
        let ada = json!({ "email": "ada@example.com", "name": "Ada Lovelace" });
        let created = self.ask(Method::POST, "/v1/sessions", Some(&ada)).await.expect(201);
        let session = created.json();
        let id = session["id"].as_str().expect("a session has an id").to_owned();
        assert_eq!(created.header("location"), format!("/v1/sessions/{id}"));

        let path = format!("/v1/sessions/{id}");
        assert_eq!(self.ask(Method::GET, &path, None).await.expect(200).json(), session);

        let briefly = json!({ "email": "bob@example.com", "name": "Bob", "ttl": 60 });
        let brief = self.ask(Method::POST, "/v1/sessions", Some(&briefly)).await.expect(201).json();
        let lifetimes = (self.expiry(&brief["id"]).await, self.expiry(&session["id"]).await);
        let apart = lifetimes.1 - lifetimes.0;
        assert!((3530..=3550).contains(&apart), "an hour and a minute end {apart} s apart");

        let page = self.ask(Method::GET, "/v1/sessions?limit=1", None).await.expect(200).json();
        assert_eq!(page["sessions"].as_array().map(Vec::len), Some(1));
        assert!(page["cursor"].is_string(), "there is a second page: {page}");

        for path in [path, format!("/v1/sessions/{}", brief["id"].as_str().unwrap_or_default())] {
            let _ = self.ask(Method::DELETE, &path, None).await.expect(204);
            let gone = self.ask(Method::GET, &path, None).await;
            assert_problem(&gone, 404, "No such session");
        }
        let listed =
            self.ask(Method::GET, &format!("/v1/sessions?prefix={id}"), None).await.expect(200).json();
        assert_eq!(listed, json!({ "sessions": [], "cursor": null }));
    }

    async fn expiry(&self, id: &Value) -> i64 {
        let path = format!("/v1/sessions?prefix={}", id.as_str().unwrap_or_default());
        let page = self.ask(Method::GET, &path, None).await.expect(200).json();
        assert_eq!(page["sessions"][0]["id"], *id);
        assert!(page["sessions"][0]["email"].as_str().is_some_and(|email| email.ends_with("@example.com")));
        page["sessions"][0]["expiresAt"].as_i64().unwrap_or_else(|| panic!("no expiry in {page}"))
    }

    async fn refusals(&self) {
        let wrong = json!({ "email": "nobody", "name": "", "ttl": 5 });
        let refused = self.ask(Method::POST, "/v1/sessions", Some(&wrong)).await;
        assert_problem(&refused, 400, "The request is not valid");
        let body = refused.json();
        let errors = body["errors"].as_array().expect("a list of what is wrong");
        let paths: Vec<_> = errors.iter().map(|error| error["path"].as_str()).collect();
        assert_eq!(paths, [Some("email"), Some("name"), Some("ttl")]);
        assert_problem(&self.ask(Method::GET, "/nowhere", None).await, 404, "Not found");
    }

    async fn cors(&self) {
        let preflight = |origin: &str| {
            Request::builder()
                .method(Method::OPTIONS)
                .uri("/v1/sessions")
                .header(header::HOST, self.host)
                .header(header::ORIGIN, origin)
                .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
                .body(Bytes::new())
                .expect("a valid request")
        };
        let allowed = send(self.address, preflight(ORIGIN)).await.expect(204);
        assert_eq!(allowed.header("access-control-allow-origin"), ORIGIN);
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        assert!(allowed.header("access-control-allow-methods").contains("POST"));
        let stranger = send(self.address, preflight("https://elsewhere.example")).await;
        assert_eq!(stranger.header("access-control-allow-origin"), "");
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map(ToString::to_string).unwrap_or_default().into());
        send(self.address, request.expect("a valid request")).await
    }
}

fn assert_problem(answer: &Answer, status: u16, title: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
    let body = answer.json();
    assert_eq!(answer.status.as_u16(), status);
    assert_eq!((&body["title"], &body["status"]), (&json!(title), &json!(status)));
}
