//! The example `jwt-gateway` deploys with both wranglers, three Workers, and does over HTTP what its README says.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::{Value, json};
use testkit::{Answer, Project, Server, Wrangler};

const SECRET: &str = "a secret of this test";
/// `{"sub":"ada","exp":4102444800,"permissions":["read","write"]}`.
const WRITER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsInBlcm1pc3Npb25zIjpbInJlYWQiLCJ3cml0ZSJdfQ.\
    UxBqVJDz31eHDargGkTeIpLj7DLxAY6OvKifSnDdxo0";
/// `bob`, who may only read.
const READER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJib2IiLCJleHAiOjQxMDI0NDQ4MDAsInBlcm1pc3Npb25zIjpbInJlYWQiXX0.\
    U9ntE2t-t8zEEoirdzYRYsOYJCG9tuw4dRftxIp0fAw";
/// Signed well, but of 2001.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJhZGEiLCJleHAiOjEwMDAwMDAwMDAsInBlcm1pc3Npb25zIjpbInJlYWQiXX0.\
    C-jy3wl_lok25w0aJNhxGa7A48s_dlLaZ_QR7KZxEfo";
/// Signed with another secret.
const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsInBlcm1pc3Npb25zIjpbInJlYWQiXX0.\
    8cjFOG9WkPRzm8IjgDcgCZHyVSGXEg_c9wbtff5HvHs";
/// With `"alg":"none"`.
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.\
    eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsInBlcm1pc3Npb25zIjpbInJlYWQiXX0.\
    uovZHOalgJa-7_y0NWMS7mqeO91rHuSMsRMQGSk2ET0";

#[tokio::test]
async fn jwt_gateway_answers_after_a_deployment_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let server = Server::start().await;
        let project = Project::example("jwt-gateway");
        for worker in ["users", "orders"] {
            server.wrangler(wrangler, &project.path().join(worker)).args(["deploy"]).succeed().await;
        }
        project.write("gateway/secrets.json", json!({ "JWT_SECRET": SECRET }).to_string());
        let deploy = server.wrangler(wrangler, &project.path().join("gateway"));
        deploy.args(["deploy", "--secrets-file", "secrets.json"]).succeed().await;
        let gateway = Gateway { server: &server };
        assert_eq!(
            gateway.ask(Method::GET, "/health", None, None).await.expect(200).json(),
            json!({ "status": "ok" })
        );
        gateway.tokens().await;
        gateway.users().await;
        gateway.orders().await;
        gateway.limit().await;
        for hidden in ["users.localhost", "orders.localhost"] {
            let _ = server.get(hidden, "/").await.expect(404);
        }
        let line =
            server.log().wait_for("\"path\":\"/api/orders\",\"status\":201", Duration::from_secs(10)).await;
        assert!(line.contains("\"userId\":\"ada\""), "{line}");
        server.stop().await;
    }
}

struct Gateway<'a> {
    server: &'a Server,
}

impl Gateway<'_> {
    async fn tokens(&self) {
        for token in [None, Some("nonsense"), Some("a.b.c"), Some(EXPIRED), Some(FORGED), Some(UNSIGNED)] {
            let refused = self.ask(Method::GET, "/api/users/me", token, None).await.expect(401);
            assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"api\"");
        }
        let order = json!({ "item": "tea", "quantity": 1 });
        let _ = self.ask(Method::POST, "/api/orders", Some(READER), Some(&order)).await.expect(403);
        let _ = self.ask(Method::GET, "/api/usersfoo", Some(READER), None).await.expect(404);
    }

    async fn users(&self) {
        let name = json!({ "name": "<b>Ada</b> & co", "isAdmin": true });
        let _ = self.ask(Method::PUT, "/api/users/me", Some(WRITER), Some(&name)).await.expect(200);
        let answer = self.ask(Method::GET, "/api/users/me", Some(WRITER), None).await.expect(200);
        let wanted = json!({
            "id": "ada",
            "name": "&lt;b&gt;Ada&lt;/b&gt; &amp; co",
            "requestId": answer.header("x-request-id"),
            "sawToken": false,
        });
        assert_eq!(answer.json(), wanted);
        assert_eq!(answer.header("x-powered-by"), "");
        let other = self.ask(Method::GET, "/api/users/me", Some(READER), None).await.expect(200).json();
        assert_eq!((&other["id"], &other["name"]), (&json!("bob"), &Value::Null));
    }

    async fn orders(&self) {
        let wrong = json!({ "quantity": 1.5 });
        let refused =
            self.ask(Method::POST, "/api/orders", Some(WRITER), Some(&wrong)).await.expect(400).json();
        let fields: Vec<_> =
            refused["errors"].as_array().into_iter().flatten().map(|error| &error["field"]).collect();
        assert_eq!(fields, ["item", "quantity"]);
        let order = json!({ "item": "tea", "quantity": 2 });
        for _ in 0..3 {
            let placed =
                self.ask(Method::POST, "/api/orders", Some(WRITER), Some(&order)).await.expect(201).json();
            assert_eq!(placed["item"], "tea");
        }
        let full = self.ask(Method::POST, "/api/orders", Some(WRITER), Some(&order)).await.expect(409).json();
        assert_eq!(full["error"], "at most 3 orders may be open");
        let listed = self.ask(Method::GET, "/api/orders", Some(WRITER), None).await.expect(200).json();
        assert_eq!(listed["orders"].as_array().map(Vec::len), Some(3));
        let others = self.ask(Method::GET, "/api/orders", Some(READER), None).await.expect(200).json();
        assert_eq!(others, json!({ "orders": [] }));
    }

    /// Of 100 requests in a minute, some were sent already.
    async fn limit(&self) {
        for _ in 0..100 {
            let answer = self.ask(Method::GET, "/api/users/me", Some(READER), None).await;
            if answer.status == 429 {
                let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
                assert!((1..=60).contains(&seconds));
                let _ = self.ask(Method::GET, "/api/users/me", Some(WRITER), None).await.expect(200);
                return;
            }
        }
        panic!("100 more requests were let through");
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "gateway.localhost")
            .header("X-User-ID", "mallory");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        self.server.send(request.body(body).expect("a valid request")).await
    }
}
