//! Zone routes and custom domains as their users meet them: declared in a project's configuration, put in place by both
//! real wranglers, asked for by host name, and still there after a restart.

use std::{path::PathBuf, process::Stdio};

use http::Method;
use serde_json::{Value, json};
use testkit::{Project, Server, Wrangler, command, within};

const SETTINGS: &str = "[[zones]]\nname = \"example.com\"";

/// A project whose Worker says its name and the URL it sees.
fn project(name: &str, routes: &Value) -> Project {
    Project::new().file("wrangler.json", configuration(name, routes)).file(
        "index.js",
        format!("export default {{ fetch: (request) => new Response(`{name} ${{request.url}}`) }};"),
    )
}

fn configuration(name: &str, routes: &Value) -> String {
    json!({
        "name": name,
        "main": "index.js",
        "compatibility_date": "2026-01-01",
        "workers_dev": false,
        "routes": routes,
    })
    .to_string()
}

fn route(pattern: &str) -> Value {
    json!({"pattern": pattern, "zone_name": "example.com"})
}

fn domain(host: &str) -> Value {
    json!({"pattern": host, "custom_domain": true})
}

async fn text(server: &Server, host: &str, path: &str) -> String {
    server.get(host, path).await.expect(200).text()
}

async fn check(wrangler: Wrangler) {
    let server = Server::builder().settings(SETTINGS).start().await;
    let deploy = async |project: &Project| server.wrangler(wrangler, project.path()).args(["deploy"]);
    let shop = project(
        "shop",
        &json!([route("api.example.com/v1/*"), route("www.example.com/*"), domain("shop.example.com")]),
    );
    deploy(&shop).await.succeed().await;
    assert_eq!(text(&server, "api.example.com", "/v1/a?b").await, "shop http://api.example.com/v1/a?b");
    assert_eq!(text(&server, "shop.example.com", "/any").await, "shop http://shop.example.com/any");
    assert_eq!(text(&server, "www.example.com", "/").await, "shop http://www.example.com/");
    for (host, path) in [("api.example.com", "/v2"), ("example.com", "/"), ("shop.localhost", "/")] {
        let _ = server.get(host, path).await.expect(404);
    }

    // Another Worker cannot have the same route; a more specific one it can.
    let blog = project("blog", &json!([route("api.example.com/v1/*")]));
    let refused = deploy(&blog).await.fail().await;
    let says = [
        "A route with the same pattern already exists",
        "is already assigned to routes",
        "assigned to another",
    ];
    assert!(says.iter().any(|words| refused.all().contains(words)), "{}", refused.all());
    assert_eq!(text(&server, "api.example.com", "/v1/").await, "shop http://api.example.com/v1/");
    blog.write("wrangler.json", configuration("blog", &json!([route("api.example.com/v1/blog*")])));
    deploy(&blog).await.succeed().await;
    assert_eq!(text(&server, "api.example.com", "/v1/blog/1").await, "blog http://api.example.com/v1/blog/1");
    assert_eq!(text(&server, "api.example.com", "/v1/x").await, "shop http://api.example.com/v1/x");

    // A route that the configuration no longer has goes with the next deploy. A custom domain moves to the Worker deployed
    // last: without a terminal to ask at, wrangler says yes by itself.
    shop.write(
        "wrangler.json",
        configuration("shop", &json!([route("api.example.com/v1/*"), domain("shop.example.com")])),
    );
    deploy(&shop).await.succeed().await;
    let _ = server.get("www.example.com", "/").await.expect(404);
    blog.write(
        "wrangler.json",
        configuration("blog", &json!([route("api.example.com/v1/blog*"), domain("shop.example.com")])),
    );
    deploy(&blog).await.succeed().await;
    assert_eq!(text(&server, "shop.example.com", "/").await, "blog http://shop.example.com/");

    let zones = server.api(Method::GET, "/zones?name=example.com", None).await.expect(200).json();
    let folder = server.stop().await;
    let server = Server::builder().settings(SETTINGS).folder(&folder).start().await;
    let after = server.api(Method::GET, "/zones?name=example.com", None).await.expect(200).json();
    assert_eq!(after["result"], zones["result"], "the zone keeps its id");
    assert_eq!(text(&server, "api.example.com", "/v1/x").await, "shop http://api.example.com/v1/x");
    assert_eq!(text(&server, "shop.example.com", "/").await, "blog http://shop.example.com/");
    server.stop().await;
}

#[tokio::test]
async fn an_older_wrangler_sets_routes_and_custom_domains() {
    check(Wrangler::Old).await;
}

#[tokio::test]
async fn a_newer_wrangler_sets_routes_and_custom_domains() {
    check(Wrangler::New).await;
}

/// A bucket at a host of its own: behind a Worker's routes, beside no Worker's custom domain.
async fn check_bucket(wrangler: Wrangler) {
    let server = Server::builder().settings(SETTINGS).start().await;
    let project = project("front", &json!([route("cdn.example.com/front/*"), domain("shop.example.com")]))
        .file("movie.txt", "0123456789");
    let run = async |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());
    run("deploy").await.succeed().await;
    run("r2 bucket create films").await.succeed().await;
    run("r2 object put films/a.txt --file movie.txt --remote").await.succeed().await;
    let zones = server.api(Method::GET, "/zones?name=example.com", None).await.expect(200).json();
    let zone = zones["result"][0]["id"].as_str().expect("an id").to_owned();
    let add = |host: &str| format!("r2 bucket domain add films --domain {host} --zone-id {zone} --force");

    run(&add("CDN.example.com")).await.succeed().await;
    assert_eq!(text(&server, "cdn.example.com", "/a.txt").await, "0123456789");
    assert_eq!(text(&server, "cdn.example.com", "/front/x").await, "front http://cdn.example.com/front/x");
    let _ = server.get("cdn.example.com", "/b.txt").await.expect(404);
    let listed = run("r2 bucket domain list films").await.succeed().await.stdout;
    for word in ["cdn.example.com", "Yes", "active", "1.0", "example.com", &zone] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    run("r2 bucket domain update films --domain cdn.example.com --min-tls 1.2").await.succeed().await;
    let got = run("r2 bucket domain get films --domain cdn.example.com").await.succeed().await.stdout;
    assert!(got.contains("1.2"), "{got}");
    let newer =
        run("r2 bucket domain update films --domain cdn.example.com --min-tls 1.3").await.fail().await;
    assert!(newer.all().contains("10501"), "{}", newer.all());

    // One host, one owner, whoever comes first; and only in a zone.
    let taken = run(&add("shop.example.com")).await.fail().await.all();
    assert!(taken.contains("already a custom domain"), "{taken}");
    let outside = run(&add("cdn.example.org")).await.fail().await.all();
    assert!(outside.contains("no zone here holds"), "{outside}");
    project.write("wrangler.json", configuration("front", &json!([domain("cdn.example.com")])));
    let taken = run("deploy").await.fail().await.all();
    assert!(taken.contains("already a custom domain"), "{taken}");

    // It outlives a restart, and neither its removal nor the bucket's end.
    let folder = server.stop().await;
    let server = Server::builder().settings(SETTINGS).folder(&folder).start().await;
    let run = async |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());
    assert_eq!(text(&server, "cdn.example.com", "/a.txt").await, "0123456789");
    run("r2 object delete films/a.txt --remote").await.succeed().await;
    run("r2 bucket delete films").await.succeed().await;
    run("r2 bucket create films").await.succeed().await;
    run("r2 object put films/a.txt --file movie.txt --remote").await.succeed().await;
    let _ = server.get("cdn.example.com", "/a.txt").await.expect(404);
    // The host is anybody's again.
    run(&add("cdn.example.com")).await.succeed().await;
    assert_eq!(text(&server, "cdn.example.com", "/a.txt").await, "0123456789");
    run(&add("films.example.com")).await.succeed().await;
    assert_eq!(text(&server, "films.example.com", "/a.txt").await, "0123456789");
    run("r2 bucket domain remove films --domain films.example.com --force").await.succeed().await;
    let _ = server.get("films.example.com", "/a.txt").await.expect(404);
    server.stop().await;
}

#[tokio::test]
async fn an_older_wrangler_gives_a_bucket_a_custom_domain() {
    check_bucket(Wrangler::Old).await;
}

#[tokio::test]
async fn a_newer_wrangler_gives_a_bucket_a_custom_domain() {
    check_bucket(Wrangler::New).await;
}

#[tokio::test]
async fn a_worker_reaches_another_by_its_custom_domain_and_urls_shows_it() {
    let server = Server::builder().settings(SETTINGS).start().await;
    let back = testkit::Script::module("back", "export default { fetch: () => new Response('from back') };");
    let front = testkit::Script::module(
        "front",
        "export default { fetch: () => fetch('http://back.example.com/inside') };",
    );
    server.deploy(&back).await;
    server.deploy(&front).await;
    let origin = json!({"hostname": "back.example.com", "service": "back", "environment": "production"});
    let _ = server.api(Method::PUT, "/accounts/{account}/workers/domains", Some(&origin)).await.expect(200);
    let routes = json!([{"pattern": "example.com/back/*"}]);
    let path = "/accounts/{account}/workers/scripts/back/routes";
    let _ = server.api(Method::PUT, path, Some(&routes)).await.expect(200);
    assert_eq!(text(&server, "front.localhost", "/").await, "from back");
    assert_eq!(text(&server, "example.com", "/back/").await, "from back");

    let port = server.http().rsplit(':').next().unwrap_or_default();
    let urls = urls(&server).await;
    let expected = format!("http://back.example.com:{port}");
    let shown = urls.as_array().into_iter().flatten().find(|row| row["script"] == "back").expect("a row");
    assert_eq!((&shown["domains"], &shown["routes"]), (&json!([expected]), &json!(["example.com/back/*"])));
    server.stop().await;
}

async fn urls(server: &Server) -> Value {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_skerry"));
    let mut urls = command(binary);
    urls.args(["urls", "--json", "--data"]).arg(server.folder().path()).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || urls.output());
    let output = within("skerry urls", std::time::Duration::from_secs(15), run).await;
    let output = output.expect("no panic").expect("the command runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
