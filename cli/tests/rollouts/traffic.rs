//! Which version answers which request while a new one is rolled out.

use bytes::Bytes;
use http::{Method, Request, header::HOST};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use testkit::{Connection, Script, Server};

const SCRIPTS: &str = "/accounts/{account}/workers/scripts";
const REQUESTS: u32 = 2_000;
const KEYS: u32 = 200;

/// A Worker that says its version.
fn telling() -> Script {
    let source = "export default { fetch: (request, env) => new Response(env.META.id) };";
    Script::module("app", source).binding(json!({"name": "META", "type": "version_metadata"}))
}

/// Makes another version without an upload, and without deploying it.
async fn another_version(server: &Server) -> String {
    let path = "/accounts/{account}/workers/workers/app/versions/latest";
    let answer = server.api(Method::PATCH, path, Some(&json!({}))).await.expect(200).json();
    answer["result"]["id"].as_str().expect("an id").to_owned()
}

async fn split(server: &Server, shares: &[(&str, u32)]) {
    let portion = |(id, percentage): &(&str, u32)| json!({"version_id": id, "percentage": percentage});
    let versions: Vec<Value> = shares.iter().map(portion).collect();
    let body = json!({"strategy": "percentage", "versions": versions});
    let _ = server.api(Method::POST, &format!("{SCRIPTS}/app/deployments"), Some(&body)).await.expect(200);
}

struct Visitor {
    connection: Connection<Full<Bytes>>,
}

impl Visitor {
    async fn of(server: &Server) -> Self {
        Self { connection: Connection::open(server.http()).await }
    }

    /// The version that answers a request with these headers.
    async fn ask(&mut self, headers: &[(&str, &str)]) -> String {
        let mut request = Request::get("/").header(HOST, "app.localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("a valid request");
        let (head, body) = self.connection.send(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert_eq!(head.status, 200, "{text}");
        text
    }

    async fn keyed(&mut self) -> Vec<String> {
        let mut versions = Vec::new();
        for key in 0..KEYS {
            versions.push(self.ask(&[("Cloudflare-Workers-Version-Key", &format!("user-{key}"))]).await);
        }
        versions
    }
}

/// Twice e to the minus 22 is less than one in a billion: so seldom is a fair share called unfair, by Chernoff's bound, which
/// holds for any number of requests.
const DIVERGENCE_MAX: f64 = 22.0;

/// Asserts that `count` of `total` is what a share of that size gives: total times the Kullback–Leibler divergence between
/// what was observed and what was expected is bounded.
fn assert_share(count: usize, total: u32, share: f64) {
    let total = f64::from(total);
    let observed = f64::from(u32::try_from(count).expect("a small count")) / total;
    let term = |observed: f64, expected: f64| {
        if observed == 0.0 { 0.0 } else { observed * (observed / expected).ln() }
    };
    let divergence = total * (term(observed, share) + term(1.0 - observed, 1.0 - share));
    assert!(divergence < DIVERGENCE_MAX, "{count} of {total} for a share of {share}");
}

#[tokio::test]
async fn requests_are_divided_by_percentage_and_keys_never_move_back() {
    let server = Server::start().await;
    let deployed = server.deploy(&telling()).await;
    let old = deployed["result"]["deployment_id"].as_str().expect("an id").to_owned();
    let new = another_version(&server).await;
    let mut visitor = Visitor::of(&server).await;
    assert_eq!(visitor.ask(&[]).await, old, "an uploaded version answers nobody");

    let mut before = vec![old.clone(); KEYS as usize];
    for (percentage, share) in [(10, 0.1), (50, 0.5), (100, 1.0)] {
        let shares = [(old.as_str(), 100 - percentage), (new.as_str(), percentage)];
        split(&server, &shares).await;
        let mut count = 0;
        for _ in 0..REQUESTS {
            count += usize::from(visitor.ask(&[]).await == new);
        }
        assert_share(count, REQUESTS, share);
        let now = visitor.keyed().await;
        assert_eq!(visitor.keyed().await, now, "a key has one version");
        assert!(before.iter().zip(&now).all(|(before, now)| *before != new || *now == new));
        assert_share(now.iter().filter(|version| **version == new).count(), KEYS, share);
        before = now;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_version_can_be_asked_for_before_anyone_gets_it() {
    let server = Server::start().await;
    let deployed = server.deploy(&telling()).await;
    let old = deployed["result"]["deployment_id"].as_str().expect("an id").to_owned();
    let new = another_version(&server).await;
    let header = "Cloudflare-Workers-Version-Overrides";
    let naming = format!("other=\"{old}\", app=\"{new}\"");
    let mut visitor = Visitor::of(&server).await;
    assert_eq!(visitor.ask(&[(header, &naming)]).await, old, "it is in no deployment yet");
    split(&server, &[(&new, 0), (&old, 100)]).await;
    assert_eq!(visitor.ask(&[(header, &naming)]).await, new);
    assert_eq!(visitor.ask(&[]).await, old);
    server.stop().await;
}

#[tokio::test]
async fn the_call_that_goes_back_is_the_last_moment_of_the_bad_version() {
    let server = Server::start().await;
    let deployed = server.deploy(&telling()).await;
    let good = deployed["result"]["deployment_id"].as_str().expect("an id").to_owned();
    let bad = another_version(&server).await;
    let mut visitor = Visitor::of(&server).await;
    for _ in 0..5 {
        split(&server, &[(&bad, 100)]).await;
        assert_eq!(visitor.ask(&[]).await, bad);
        split(&server, &[(&good, 100)]).await;
        for _ in 0..20 {
            assert_eq!(visitor.ask(&[]).await, good);
        }
    }
    let list = server.api(Method::GET, &format!("{SCRIPTS}/app/deployments"), None).await.expect(200).json();
    assert_eq!(list["result"]["deployments"][0]["annotations"]["workers/triggered_by"], "rollback");
    server.stop().await;
}
