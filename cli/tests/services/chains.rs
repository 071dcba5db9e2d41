//! Workers that call each other in a ring, and themselves.

use std::time::Duration;

use serde_json::json;
use testkit::{Script, Server, within};

use crate::support::{ask, asking, service};

/// How long endless calls may take until they are refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(120);

/// One of a ring: `next` is called until `left` is 0.
fn link(name: &str, next: &str) -> Script {
    let source = format!(
        r#"
import {{ WorkerEntrypoint }} from "cloudflare:workers";
export default class extends WorkerEntrypoint {{
    async fetch(request) {{
        const url = new URL(request.url);
        const left = Number(url.searchParams.get("left"));
        if (url.pathname === "/call") {{
            return this.pass(left).then(Response.json, (error) => new Response(error.message, {{ status: 503 }}));
        }}
        if (left === 0) return Response.json([{name:?}]);
        url.searchParams.set("left", left - 1);
        // Either a request of its own, or the one that came, with its headers.
        const answer = await this.env.NEXT.fetch(url.pathname === "/forward" ? new Request(url, request) : url);
        if (answer.status !== 200) return answer;
        return Response.json([{name:?}, ...await answer.json()]);
    }}
    async pass(left) {{ return left === 0 ? [{name:?}] : [{name:?}, ...await this.env.NEXT.pass(left - 1)]; }}
}}"#
    );
    Script::module(name, &source).binding(service("NEXT", next))
}

#[tokio::test]
async fn three_workers_in_a_ring_call_each_other() {
    let server = Server::start().await;
    server.deploy(&asking("a", "return 'not yet';")).await;
    for (name, next) in [("c", "a"), ("b", "c"), ("a", "b")] {
        server.deploy(&link(name, next)).await;
    }
    for path in ["/call", "/fetch", "/forward"] {
        let answer = ask(&server, "a", &format!("{path}?left=7")).await.expect(200).json();
        assert_eq!(answer, json!(["a", "b", "c", "a", "b", "c", "a", "b"]), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_worker_that_calls_itself_without_end_is_refused_with_the_reason() {
    let server = Server::start().await;
    server.deploy(&asking("itself", "return 'not yet';")).await;
    server.deploy(&link("itself", "itself")).await;
    for (path, status, reason) in [
        ("/forward", 503, "passed through too many Workers"),
        ("/fetch", 503, "call itself without end"),
        ("/call", 503, "too many calls at once"),
    ] {
        let path = format!("{path}?left=1000000000");
        let endless = ask(&server, "itself", &path);
        let answer = within("an end of endless calls", REFUSED_WITHIN, endless).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(reason), "{path}: {}", answer.text());
        assert_eq!(ask(&server, "itself", "/call?left=3").await.expect(200).json(), json!(vec!["itself"; 4]));
    }
    server.log().expect("A service binding failed");
    server.stop().await;
}
