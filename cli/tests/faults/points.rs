//! Crashes at every fault point of every change: the process aborts between two durable steps, and the next start has either
//! the old state or the new one, whole; the same change, made again, goes through. Which points there are is not written
//! down here: each change is repeated with the crash one passage later until it comes to its end.

use std::{collections::BTreeSet, fs, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use testkit::{DataFolder, Script, Server};

use crate::support::{Client, SOON};

/// More points than any change has.
const PASSAGES_MAX: u32 = 20;

const SETTINGS: &str = "[engine]\nwait_until_secs = 0\n[[zones]]\nname = \"example.com\"";

const SHOP: &str = "/accounts/{account}/workers/scripts/shop";

/// A server that crashes, and all points that it crashed at.
struct Stage {
    folder: Arc<DataFolder>,
    server: Option<Server>,
    points: BTreeSet<String>,
}

impl Stage {
    async fn open() -> Self {
        let folder = Arc::new(DataFolder::new());
        let mut stage = Self { folder, server: None, points: BTreeSet::new() };
        stage.start().await;
        stage
    }

    async fn start(&mut self) {
        let fault = self.fault_file();
        let builder = Server::builder().settings(SETTINGS).folder(&self.folder);
        self.server = Some(builder.env("SKERRY_FAULT_FILE", fault.to_str().expect("text")).start().await);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn fault_file(&self) -> std::path::PathBuf {
        self.folder.path().join("fault")
    }

    /// Walks one change. `look` shows what the change changes; `change` makes it with the number of the round, and says
    /// whether it was acknowledged; `expected` is what is seen afterwards.
    async fn walk(
        &mut self,
        what: &str,
        prepare: impl AsyncFn(&Server, u32),
        change: impl AsyncFn(&Server, u32) -> bool,
        look: impl AsyncFn(&Server, u32) -> String,
        expected: impl Fn(u32) -> String,
    ) {
        for round in 1..PASSAGES_MAX {
            prepare(self.server(), round).await;
            let old = look(self.server(), round).await;
            fs::write(self.fault_file(), round.to_string()).expect("arm the fault");
            if change(self.server(), round).await {
                fs::remove_file(self.fault_file()).expect("the fault is still armed");
                assert_eq!(look(self.server(), round).await, expected(round), "{what}: acknowledged");
                assert!(2 < round, "{what} passes hardly any point");
                return self.check_modules(what).await;
            }
            let crashed = self.server.take().expect("it ran");
            let line = crashed.log().wait_for("fault point `", SOON).await;
            let point = line.split('`').nth(1).expect("the point's name").to_owned();
            crashed.kill().await;
            self.start().await;
            let now = look(self.server(), round).await;
            assert!(now == old || now == expected(round), "{what}: `{now}` after a crash at `{point}`");
            let is_certain = match point.as_str() {
                "workers: tried" | "file written" | "file renamed" | "before commit" => now == old,
                _ => now == expected(round),
            };
            assert!(is_certain, "{what}: `{now}` after a crash at `{point}`");
            self.check_modules(what).await;
            self.points.insert(point);
        }
        panic!("{what} did not come to its end after {PASSAGES_MAX} crashes");
    }

    /// No file in the folder of modules that no version has: each version here has one module.
    async fn check_modules(&self, what: &str) {
        let files = fs::read_dir(self.folder.path().join("workers/modules")).expect("list modules").count();
        let scripts = self.server().api(Method::GET, "/accounts/{account}/workers/scripts", None).await;
        let mut versions = 0;
        for script in scripts.json()["result"].as_array().expect("a list") {
            let path = format!(
                "/accounts/{{account}}/workers/scripts/{}/versions",
                script["id"].as_str().expect("a name")
            );
            let list = self.server().api(Method::GET, &path, None).await.expect(200).json();
            versions += list["result"]["items"].as_array().expect("a list").len();
        }
        assert!(files <= versions, "{what}: {files} files of {versions} versions");
    }

    async fn close(self, points: &[&str]) {
        assert_eq!(self.points, points.iter().map(ToString::to_string).collect());
        self.server.expect("it runs").stop().await;
    }
}

/// A Worker whose answer says its code, its variable and its secrets: no mixture goes unnoticed.
fn telling(name: &str, number: &str) -> Script {
    let source = format!(
        "export default {{ fetch: (request, env) => new Response(`{number} ${{env.N}} ${{env.ONE}} ${{env.TWO}}`) }};"
    );
    Script::module(name, &source).binding(json!({"name": "N", "type": "plain_text", "text": number}))
}

/// Sends an API request; whether it was answered with success, or not at all.
async fn ask(server: &Server, method: Method, path: &str, body: Value) -> bool {
    let request = server.api_request(method, path).header(header::CONTENT_TYPE, "application/json");
    acknowledged(server, request, body.to_string().into()).await
}

async fn upload(server: &Server, method: Method, path: &str, script: &Script) -> bool {
    let (content_type, body) = script.multipart();
    let request = server.api_request(method, path).header(header::CONTENT_TYPE, content_type);
    acknowledged(server, request, body.into()).await
}

async fn acknowledged(server: &Server, request: http::request::Builder, body: Bytes) -> bool {
    let request: Request<Full<Bytes>> = request.body(Full::new(body)).expect("a valid path");
    match Client::open(server.api_address()).await.send(request).await {
        Some(answer) => answer.expect(200).status.is_success(),
        None => false,
    }
}

async fn text(server: &Server, host: &str) -> String {
    let answer = server.get(host, "/").await;
    if answer.status == 404 { "nobody".to_owned() } else { answer.expect(200).text() }
}

async fn versions(server: &Server) -> Vec<String> {
    let list = server.api(Method::GET, &format!("{SHOP}/versions"), None).await.expect(200).json();
    let items = list["result"]["items"].as_array().expect("a list").iter();
    items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

async fn split(server: &Server, shares: &[(&str, u32)], message: &str) -> bool {
    let portion = |(id, percentage): &(&str, u32)| json!({"version_id": id, "percentage": percentage});
    let versions: Vec<Value> = shares.iter().map(portion).collect();
    let annotations = json!({"workers/message": message});
    let body = json!({"strategy": "percentage", "versions": versions, "annotations": annotations});
    ask(server, Method::POST, &format!("{SHOP}/deployments?force=true"), body).await
}

async fn nothing(_server: &Server, _round: u32) {}

#[tokio::test]
async fn a_crash_at_any_point_of_a_version_or_deployment_leaves_the_old_state_or_the_new() {
    let mut stage = Stage::open().await;
    stage.server().deploy(&telling("shop", "0")).await;
    let says = |number: &str| format!("{number} {number} undefined undefined");

    let deploy = async |server: &Server, round: u32| {
        upload(server, Method::PUT, SHOP, &telling("shop", &format!("d{round}"))).await
    };
    let answer = async |server: &Server, _round: u32| text(server, "shop.localhost").await;
    stage.walk("a deploy", nothing, deploy, answer, |round| says(&format!("d{round}"))).await;

    stage.server().deploy(&telling("shop", "base")).await;
    let path = "/accounts/{account}/workers/scripts/shop/subdomain";
    let both = json!({"enabled": true, "previews_enabled": true});
    assert!(ask(stage.server(), Method::POST, path, both).await);
    let keep = async |server: &Server, round: u32| {
        let path = format!("{SHOP}/versions");
        upload(server, Method::POST, &path, &telling("shop", &format!("v{round}"))).await
    };
    let preview = async |server: &Server, _round: u32| {
        let newest = versions(server).await.remove(0);
        let host = format!("{}-shop.localhost", &newest[..8]);
        format!("{} / {}", text(server, "shop.localhost").await, text(server, &host).await)
    };
    let kept = |round| format!("{} / {}", says("base"), says(&format!("v{round}")));
    stage.walk("a version", nothing, keep, preview, kept).await;

    let roll_out = async |server: &Server, round: u32| {
        let versions = versions(server).await;
        split(server, &[(&versions[0], round), (&versions[1], 100 - round)], &round.to_string()).await
    };
    let deployed = async |server: &Server, _round: u32| {
        let _ = server.get("shop.localhost", "/").await.expect(200);
        let list = server.api(Method::GET, &format!("{SHOP}/deployments"), None).await.expect(200).json();
        let newest = &list["result"]["deployments"][0];
        format!("{}: {}", newest["annotations"]["workers/message"], newest["versions"][0]["percentage"])
    };
    let share = |round| format!("\"{round}\": {}", json!(f64::from(round)));
    stage.walk("a rollout", nothing, roll_out, deployed, share).await;

    let bad = async |server: &Server, _round: u32| {
        assert!(split(server, &[(&versions(server).await[0], 100)], "bad").await);
    };
    let go_back = async |server: &Server, round: u32| {
        let versions = versions(server).await;
        split(server, &[(versions.last().expect("one"), 100)], &round.to_string()).await
    };
    stage.walk("a rollback", bad, go_back, answer, |_round| says("0")).await;
    let points = [
        "before commit",
        "committed",
        "file renamed",
        "file written",
        "workers: published",
        "workers: tried",
    ];
    stage.close(&points).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_change_of_secrets_leaves_the_old_ones_or_the_new() {
    let mut stage = Stage::open().await;
    stage.server().deploy(&telling("shop", "0")).await;
    let answer = async |server: &Server, _round: u32| text(server, "shop.localhost").await;
    let put = async |server: &Server, round: u32| {
        let body = json!({"name": "ONE", "type": "secret_text", "text": format!("p{round}")});
        ask(server, Method::PUT, &format!("{SHOP}/secrets"), body).await
    };
    stage.walk("a secret", nothing, put, answer, |round| format!("0 0 p{round} undefined")).await;

    let bulk = async |server: &Server, round: u32| {
        let secret = json!({"type": "secret_text", "text": format!("b{round}")});
        let body = json!({"secrets": {"ONE": secret, "TWO": secret}});
        ask(server, Method::PATCH, &format!("{SHOP}/secrets-bulk"), body).await
    };
    stage.walk("secrets in bulk", nothing, bulk, answer, |round| format!("0 0 b{round} b{round}")).await;

    let give = async |server: &Server, _round: u32| {
        let body = json!({"name": "TWO", "type": "secret_text", "text": "there"});
        assert!(ask(server, Method::PUT, &format!("{SHOP}/secrets"), body).await);
    };
    let take = async |server: &Server, _round: u32| {
        ask(server, Method::DELETE, &format!("{SHOP}/secrets/TWO"), json!(null)).await
    };
    let names = async |server: &Server, _round: u32| {
        let seen = text(server, "shop.localhost").await;
        seen.rsplit(' ').next().expect("a word").to_owned()
    };
    stage.walk("a secret's end", give, take, names, |_round| "undefined".to_owned()).await;
    stage.close(&["before commit", "committed", "workers: published", "workers: tried"]).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_change_of_hosts_or_of_a_deletion_leaves_the_old_state_or_the_new() {
    let mut stage = Stage::open().await;
    stage.server().deploy(&telling("shop", "0")).await;
    let shop = "0 0 undefined undefined".to_owned();

    let hosts = async |server: &Server, round: u32| {
        let body = json!({"enabled": round.is_multiple_of(2)});
        ask(server, Method::POST, &format!("{SHOP}/subdomain"), body).await
    };
    let other_way = async |server: &Server, round: u32| {
        let body = json!({"enabled": !round.is_multiple_of(2)});
        assert!(ask(server, Method::POST, &format!("{SHOP}/subdomain"), body).await);
    };
    let answer = async |server: &Server, _round: u32| text(server, "shop.localhost").await;
    let on_or_off = |round: u32| if round.is_multiple_of(2) { shop.clone() } else { "nobody".to_owned() };
    stage.walk("a host", other_way, hosts, answer, on_or_off).await;

    let routes = async |server: &Server, round: u32| {
        let pattern = json!([{"pattern": format!("r{round}.example.com/*"), "zone_name": "example.com"}]);
        ask(server, Method::PUT, &format!("{SHOP}/routes"), pattern).await
    };
    let routed = async |server: &Server, round: u32| text(server, &format!("r{round}.example.com")).await;
    stage.walk("a route", nothing, routes, routed, |_round| shop.clone()).await;

    let domains = async |server: &Server, round: u32| {
        let body = json!({"origins": [{"hostname": format!("d{round}.example.com")}]});
        ask(server, Method::PUT, &format!("{SHOP}/domains/records"), body).await
    };
    let owned = async |server: &Server, round: u32| text(server, &format!("d{round}.example.com")).await;
    stage.walk("a custom domain", nothing, domains, owned, |_round| shop.clone()).await;

    let make = async |server: &Server, round: u32| {
        let zones = server.api(Method::GET, &format!("/zones?name=z{round}.example"), None).await.expect(200);
        if zones.json()["result"] == json!([]) {
            let body = json!({"name": format!("z{round}.example"), "account": {"id": server.account()}});
            assert!(ask(server, Method::POST, "/zones", body).await);
        }
    };
    let unmake = async |server: &Server, round: u32| {
        let zones = server.api(Method::GET, &format!("/zones?name=z{round}.example"), None).await.expect(200);
        let id = zones.json()["result"][0]["id"].as_str().expect("an id").to_owned();
        ask(server, Method::DELETE, &format!("/zones/{id}"), json!(null)).await
    };
    let zones = async |server: &Server, round: u32| {
        let zones = server.api(Method::GET, &format!("/zones?name=z{round}.example"), None).await.expect(200);
        zones.json()["result"].as_array().expect("a list").len().to_string()
    };
    stage.walk("a zone's end", make, unmake, zones, |_round| "0".to_owned()).await;

    let there = async |server: &Server, round: u32| {
        server.deploy(&telling("gone", &round.to_string())).await;
    };
    let delete = async |server: &Server, _round: u32| {
        ask(server, Method::DELETE, "/accounts/{account}/workers/scripts/gone", json!(null)).await
    };
    let gone = async |server: &Server, _round: u32| text(server, "gone.localhost").await;
    stage.walk("a Worker's end", there, delete, gone, |_round| "nobody".to_owned()).await;
    stage.close(&["before commit", "committed", "workers: module removed", "workers: published"]).await;
}
