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
