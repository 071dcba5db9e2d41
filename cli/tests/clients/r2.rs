//! `wrangler r2`: buckets and objects, and a Worker that is bound to one.

use http::Method;
use serde_json::json;
use testkit::{Project, Script, Server, Wrangler};

use crate::terminal::assert_says;

const BINARY: [u8; 5] = [0, 255, 10, 13, 7];

const READER: &str = r#"
export default {
    async fetch(request, { BUCKET }) {
        const object = await BUCKET.get(decodeURIComponent(new URL(request.url).pathname.slice(1)));
        if (object === null) return new Response("no such object", { status: 404 });
        const headers = new Headers();
        object.writeHttpMetadata(headers);
        headers.set("etag", object.httpEtag);
        return new Response(object.body, { headers });
    },
};"#;

async fn keep(wrangler: Wrangler) {
    let server = Server::start().await;
    let project = Project::new().file("value.bin", BINARY);
    let run = |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());

    run("r2 bucket create uploads").succeed().await;
    let taken = run("r2 bucket create uploads").fail().await.all();
    assert_says(&taken, &["already exists", "[code: 10004]"]);
    assert_says(&run("r2 bucket list").succeed().await.stdout, &["uploads"]);

    let put = "r2 object put uploads/dir/a+b.bin --file value.bin --content-type text/x --cache-control no-store --remote";
    run(put).succeed().await;
    run("r2 object get uploads/dir/a+b.bin --file copy.bin --remote").succeed().await;
    assert_eq!(std::fs::read(project.path().join("copy.bin")).expect("the copy"), BINARY);

    let binding = json!({ "name": "BUCKET", "type": "r2_bucket", "bucket_name": "uploads" });
    server.deploy(&Script::module("reader", READER).binding(binding)).await;
    let answer = server.get("reader.localhost", "/dir%2Fa%2Bb.bin").await.expect(200);
    assert_eq!(answer.body.as_ref(), BINARY, "the Worker reads what wrangler wrote");
    for (name, value) in [("content-type", "text/x"), ("cache-control", "no-store")] {
        assert_eq!(answer.headers[name], value);
    }

    assert_says(&run("r2 bucket delete uploads").fail().await.all(), &["not empty", "[code: 10008]"]);
    run("r2 object delete uploads/dir/a+b.bin --remote").succeed().await;
    assert_eq!(server.get("reader.localhost", "/dir%2Fa%2Bb.bin").await.status, 404);
    run("r2 bucket delete uploads").succeed().await;
    run("r2 bucket create plans --jurisdiction eu").succeed().await;
    assert_says(&run("r2 bucket info plans").fail().await.all(), &["[code: 10006]"]);
    run("r2 bucket update storage-class plans -s InfrequentAccess -J eu").succeed().await;
    let info = run("r2 bucket info plans -J eu").succeed().await.stdout;
    assert_says(&info, &["InfrequentAccess", "object_count:           0"]);
    run("r2 bucket delete plans -J eu").succeed().await;
    assert_says(&run("r2 object get uploads/x --file x --remote").fail().await.all(), &["does not exist"]);
    server.stop().await;
}

#[tokio::test]
async fn the_old_wrangler_keeps_buckets_and_objects() {
    keep(Wrangler::Old).await;
}

#[tokio::test]
async fn the_new_wrangler_keeps_buckets_and_objects() {
    keep(Wrangler::New).await;
}

#[tokio::test]
async fn a_binding_to_a_bucket_that_is_not_there_is_refused_at_deploy() {
    let server = Server::start().await;
    let created =
        server.api(Method::POST, "/accounts/{account}/r2/buckets", Some(&json!({ "name": "objects" }))).await;
    let _ = created.expect(200);
    let path = "/accounts/{account}/r2/buckets/objects/objects/a%2Fb";
    let written = server.api(Method::PUT, path, Some(&json!(1))).await.expect(200).json();
    assert_eq!(written["result"]["key"], "a/b", "whatever the bucket is called");
    let binding = json!({ "name": "BUCKET", "type": "r2_bucket", "bucket_name": "nowhere" });
    let refused =
        server.try_deploy(&Script::module("reader", READER).binding(binding)).await.expect(400).json();
    assert_eq!(refused["errors"][0]["code"], 10085, "{refused}");
    let path = "/accounts/{account}/r2/buckets/nowhere";
    let missing = server.api(Method::GET, path, None).await.expect(404).json();
    assert_eq!(missing["errors"][0]["code"], 10006, "{missing}");
    server.stop().await;
}

const CORS: &str = r#"{"rules": [{
    "allowed": {"origins": ["https://app.example"], "methods": ["GET"], "headers": ["range"]},
    "exposeHeaders": ["ETag"], "maxAgeSeconds": 60
}]}"#;

/// What a bucket's owner sets, and who may read it then.
async fn rule(wrangler: Wrangler) {
    let server = Server::start().await;
    let project = Project::new().file("cors.json", CORS).file("movie.txt", "0123456789");
    let run = |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());
    run("r2 bucket create films").succeed().await;
    run("r2 object put films/a/b.txt --file movie.txt --content-type text/plain --cache-control max-age=60 --remote")
        .succeed()
        .await;

    let info = run("r2 bucket info films").succeed().await.stdout;
    let line = |name: &str| info.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("object_count:").ends_with(" 1"), "{info}");
    // The body's 10 bytes, the key's 7 and those of the HTTP metadata.
    let size: String = line("bucket_size:").split_whitespace().skip(1).collect();
    assert!(
        size.ends_with('B') && size.trim_end_matches('B').parse::<u32>().is_ok_and(|size| 17 < size),
        "{info}"
    );

    let none = run("r2 bucket cors list films").fail().await.all();
    assert_says(&none, &["CORS configuration does not exist", "[code: 10059]"]);
    run("r2 bucket cors set films --file cors.json --force").succeed().await;
    assert_says(&run("r2 bucket cors list films").succeed().await.stdout, &["https://app.example", "ETag"]);

    let listed = run("r2 bucket lifecycle list films").succeed().await.stdout;
    assert_says(&listed, &["Default Multipart Abort Rule", "7 days"]);
    run("r2 bucket lifecycle add films logs logs/ --expire-days 3 --force").succeed().await;
    let listed = run("r2 bucket lifecycle list films").succeed().await.stdout;
    assert_says(&listed, &["logs/", "Expire objects after 3 days", "Default Multipart Abort Rule"]);
    run("r2 bucket lifecycle remove films --name logs").succeed().await;
    project.write(
        "rules.json",
        r#"{"rules": [{
        "id": "old", "enabled": true, "conditions": {"prefix": "old/"},
        "deleteObjectsTransition": {"condition": {"type": "Age", "maxAge": 864000}}
    }]}"#,
    );
    run("r2 bucket lifecycle set films --file rules.json --force").succeed().await;
    let listed = run("r2 bucket lifecycle list films").succeed().await.stdout;
    assert_says(&listed, &["old/", "Expire objects after 10 days"]);

    assert_says(&run("r2 bucket dev-url get films").succeed().await.stdout, &["disabled"]);
    let enabled = run("r2 bucket dev-url enable films --force").succeed().await.stdout;
    let host = enabled.split("https://").nth(1).and_then(|rest| rest.split('\'').next());
    let host = host.unwrap_or_else(|| panic!("no host in `{enabled}`")).trim_end_matches(['.', '\n']);
    assert!(host.starts_with("pub-") && host.ends_with(".r2.localhost"), "{host}");
    read(&server, host).await;

    run("r2 bucket dev-url disable films --force").succeed().await;
    assert_eq!(ask(&server, host, "GET", &[]).await.status, 404);
    run("r2 bucket cors delete films --force").succeed().await;
    server.stop().await;
}

async fn ask(server: &Server, host: &str, method: &str, headers: &[(&str, &str)]) -> testkit::Answer {
    let mut request = http::Request::builder().method(method).uri("/a/b.txt").header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(bytes::Bytes::new()).expect("a valid request")).await
}

/// Anybody reads the object at the bucket's own host.
async fn read(server: &Server, host: &str) {
    let whole = ask(server, host, "GET", &[("origin", "https://app.example")]).await.expect(200);
    assert_eq!(whole.text(), "0123456789");
    for (name, value) in [
        ("content-type", "text/plain"),
        ("cache-control", "max-age=60"),
        ("accept-ranges", "bytes"),
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-expose-headers", "ETag"),
    ] {
        assert_eq!(whole.header(name), value, "{name}");
    }
    let (etag, modified) = (whole.header("etag").to_owned(), whole.header("last-modified").to_owned());
    assert!(modified.ends_with(" GMT") && whole.header("cf-ray").ends_with("-LOC"), "{:?}", whole.headers);

    let part = ask(server, host, "GET", &[("range", "bytes=2-4")]).await.expect(206);
    assert_eq!((part.text().as_str(), part.header("content-range")), ("234", "bytes 2-4/10"));
    assert_eq!(ask(server, host, "GET", &[("range", "bytes=-3")]).await.expect(206).text(), "789");
    let beyond = ask(server, host, "GET", &[("range", "bytes=10-")]).await.expect(416);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    let changed = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    assert_eq!(ask(server, host, "GET", &changed).await.expect(200).text(), "0123456789");

    let known =
        [("if-none-match", format!("\"x\", W/{etag}"))].map(|(name, value)| (name, value.leak() as &str));
    assert_eq!(ask(server, host, "GET", &known).await.expect(304).text(), "");
    assert_eq!(ask(server, host, "GET", &[("if-modified-since", &modified)]).await.status, 304);
    assert_eq!(ask(server, host, "GET", &[("if-match", "\"other\"")]).await.status, 412);
    let head = ask(server, host, "HEAD", &[]).await.expect(200);
    assert_eq!((head.header("content-length"), head.header("etag")), ("10", etag.as_str()));
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    assert_eq!(
        ask(server, host, "OPTIONS", &preflight).await.expect(204).header("access-control-max-age"),
        "60"
    );
    assert_eq!(ask(server, host, "PUT", &[]).await.expect(405).header("allow"), "GET, HEAD, OPTIONS");
    let other = http::Request::get("/../a%2F/missing").header("host", host).body(bytes::Bytes::new());
    let missing = server.send(other.expect("a valid request")).await.expect(404);
    assert_says(&missing.text(), &["Object not found"]);
}

#[tokio::test]
async fn the_old_wrangler_sets_rules_and_opens_a_bucket_to_the_public() {
    rule(Wrangler::Old).await;
}

#[tokio::test]
async fn the_new_wrangler_sets_rules_and_opens_a_bucket_to_the_public() {
    rule(Wrangler::New).await;
}
