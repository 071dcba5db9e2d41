//! What the v4 API refuses: each with a 4xx, Cloudflare's code, and words that tell the caller what to do.

use bytes::Bytes;
use http::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use serde_json::{Value, json};
use testkit::{Answer, Script, Server, send};

use crate::support::{Random, saying};

/// Asserts a refusal in Cloudflare's envelope.
#[track_caller]
fn check(answer: Answer, status: u16, code: u64, words: &str) {
    let body = answer.expect(status).json();
    assert_eq!((&body["success"], &body["result"]), (&Value::Bool(false), &Value::Null), "{body}");
    assert_eq!(body["errors"][0]["code"], code, "{body}");
    let message = body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "`{message}` should say `{words}`");
}

#[tokio::test]
async fn uploads_that_cannot_be_are_refused_with_cloudflares_code() {
    let server = Server::builder().settings("[workers]\nscript_bytes_max = 20000").start().await;
    let good = || saying("hello", "hello");
    let mut no_main = good();
    no_main.metadata["main_module"] = json!("gone.js");
    let mut random = Random::seeded(1);
    let noise: Vec<u8> = (0..60_000).filter_map(|_| u8::try_from(random.below(256)).ok()).collect();
    let text = || json!({ "name": "A", "type": "plain_text", "text": "x" });
    let namespace = json!({ "name": "KV", "type": "kv_namespace", "namespace_id": "f".repeat(32) });
    let cases: Vec<(Script, u16, u64, &str)> = vec![
        (no_main, 400, 10_021, "No such module \"gone.js\""),
        (good().file("noise.bin", "application/octet-stream", noise), 413, 10_027, "size limit"),
        (good().binding(text()).binding(text()), 400, 10_053, "'A' already in use"),
        (good().binding(namespace), 400, 10_041, "not found"),
        (good().binding(json!({ "name": "X", "type": "warp_drive" })), 400, 10_021, "warp_drive"),
        (saying("Not%20A%20Name", "x"), 400, 10_016, ""),
        (saying(&"a".repeat(64), "x"), 400, 10_016, "63"),
    ];
    for (script, status, code, words) in cases {
        check(server.try_deploy(&script).await, status, code, words);
    }
    let (_, whole) = good().multipart();
    let boundary = good().multipart().0;
    let bodies = [
        (boundary.as_str(), Bytes::new()),
        (boundary.as_str(), Bytes::from("no parts at all")),
        (boundary.as_str(), Bytes::from(whole[..whole.len() / 2].to_vec())),
        ("multipart/form-data", Bytes::from(whole)),
        ("application/json", Bytes::from("{}")),
    ];
    for (content_type, body) in bodies {
        let request = server
            .api_request(Method::PUT, "/accounts/{account}/workers/scripts/hello")
            .header(CONTENT_TYPE, content_type)
            .body(body);
        check(send(server.api_address(), request.expect("a valid request")).await, 400, 10_026, "");
    }
    let scripts = server.api(Method::GET, "/accounts/{account}/workers/scripts", None).await.expect(200);
    assert_eq!(scripts.json()["result"], json!([]), "nothing was kept");
    assert!(server.children().is_empty(), "nothing was started");
    server.stop().await;
}

/// Asks for the list of Workers with this `Authorization`.
async fn ask(server: &Server, authorization: Option<&str>) -> Answer {
    let path = format!("/client/v4/accounts/{}/workers/scripts", server.account());
    let mut request = Request::get(path).header(HOST, server.api_address());
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    send(server.api_address(), request.body(Bytes::new()).expect("a valid request")).await
}

#[tokio::test]
async fn without_a_token_that_counts_the_api_says_nothing() {
    let server = Server::start().await;
    check(ask(&server, None).await, 400, 9_106, "Authorization");
    check(ask(&server, Some("Basic abc")).await, 400, 6_003, "Authorization");
    check(ask(&server, Some("Bearer wrong")).await, 401, 10_000, "Authentication error");

    let everything = json!({
        "name": "second",
        "policies": [{
            "effect": "allow",
            "resources": { format!("com.cloudflare.api.account.{}", server.account()): "*" },
            "permission_groups": permission_groups(&server).await,
        }],
    });
    let made = server.api(Method::POST, "/user/tokens", Some(&everything)).await.expect(200).json();
    let text = |field: &str| made["result"][field].as_str().expect("a new token has it").to_owned();
    let bearer = format!("Bearer {}", text("value"));
    let _ = ask(&server, Some(&bearer)).await.expect(200);
    let revoked = server.api(Method::DELETE, &format!("/user/tokens/{}", text("id")), None).await;
    let _ = revoked.expect(200);
    check(ask(&server, Some(&bearer)).await, 401, 10_000, "Authentication error");
    let folder = server.stop().await;

    let server = Server::builder().folder(&folder).start().await;
    check(ask(&server, Some(&bearer)).await, 401, 10_000, "Authentication error");
    let _ = ask(&server, Some(&format!("Bearer {}", server.token()))).await.expect(200);
    server.stop().await;
}

/// Those that read Workers.
async fn permission_groups(server: &Server) -> Value {
    let all = server.api(Method::GET, "/user/tokens/permission_groups", None).await.expect(200).json();
    let all = all["result"].as_array().expect("a list").clone();
    let reads = all.iter().filter(|group| group["name"] == "Workers Scripts Read");
    reads.map(|group| json!({ "id": group["id"] })).collect()
}
