//! Migrations make, rename and delete namespaces, by Cloudflare's protocol of tags and with its codes.

use http::Method;
use serde_json::{Value, json};
use testkit::{Script, Server, wait_until};

use crate::support::{
    SOON, ask, binding, counter, increment, namespace, updated_counter, upload_version, with_migrations,
};

#[tokio::test]
async fn a_renamed_class_keeps_its_objects_and_a_deleted_one_loses_them() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    assert_eq!([increment(&server, "a").await, increment(&server, "a").await], [1, 2]);
    let first = namespace(&server).await;
    assert_eq!(tag(&server).await, json!("v1"));

    let mut renamed = updated_counter("two");
    renamed.metadata["bindings"] = json!([binding("COUNTER", "Teller")]);
    let source = String::from_utf8(renamed.modules[0].content.clone()).expect("text");
    renamed.modules[0].content = source.replace("class Counter", "class Teller").into_bytes();
    let rename = json!({ "old_tag": "v1", "new_tag": "v2",
        "steps": [{ "renamed_classes": [{ "from": "Counter", "to": "Teller" }] }] });
    server.deploy(&with_migrations(renamed.clone(), rename)).await;
    let answer = ask(&server, "/a").await;
    assert_eq!((&answer["n"], &answer["release"], &answer["name"]), (&json!(3), &json!("two"), &json!("a")));
    assert_eq!(namespace(&server).await, first);

    let delete = json!({ "old_tag": "v2", "new_tag": "v3",
        "steps": [{ "deleted_classes": ["Teller"] }, { "new_sqlite_classes": ["Teller"] }] });
    server.deploy(&with_migrations(renamed, delete)).await;
    assert_eq!(increment(&server, "a").await, 1);
    let second = namespace(&server).await;
    assert_ne!(second, first);
    assert_eq!(tag(&server).await, json!("v3"));
    let home = home(&server);
    assert!(home.join(&second).is_dir() && !home.join(&first).exists(), "a namespace goes with its files");

    let services = "/accounts/{account}/workers/services/counter?force=true";
    let _ = server.api(Method::DELETE, services, None).await.expect(200);
    let listed = server.api(Method::GET, NAMESPACES, None).await.expect(200).json();
    assert_eq!(listed["result"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_left_of_a_deleted_worker_goes_at_the_next_start() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    increment(&server, "a").await;
    let home = home(&server);
    let services = "/accounts/{account}/workers/services/counter?force=true";
    let _ = server.api(Method::DELETE, services, None).await.expect(200);
    let folder = server.stop().await;
    let server = Server::builder().folder(&folder).start().await;
    wait_until("the removal of the objects", SOON, || !home.exists()).await;
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_cloudflares_codes() {
    let server = Server::start().await;
    let new = json!({ "new_tag": "v1", "new_sqlite_classes": ["Counter"] });
    let plain = || Script::module("counter", "export default { fetch: () => new Response('hello') };");

    refuse(&server, updated_counter("one"), 10_061, "not currently configured to implement").await;
    refuse(&server, with_migrations(plain(), new.clone()), 10_070, "'Counter' that is not exported").await;
    let old = json!({ "old_tag": "v0", "new_tag": "v1", "new_classes": ["Counter"] });
    refuse(&server, with_migrations(updated_counter("one"), old), 10_079, "current tag is not set").await;
    assert_eq!(server.api(Method::GET, NAMESPACES, None).await.expect(200).json()["result"], json!([]));

    server.deploy(&with_migrations(updated_counter("one"), new.clone())).await;
    refuse(&server, with_migrations(updated_counter("two"), new), 10_079, "current tag is v1").await;
    let step = |step: Value| json!({ "old_tag": "v1", "new_tag": "v2", "steps": [step] });
    let again = step(json!({ "new_classes": ["Counter"] }));
    refuse(&server, with_migrations(updated_counter("two"), again), 10_074, "already depended on").await;
    let deleted = step(json!({ "deleted_classes": ["Counter"] }));
    refuse(&server, with_migrations(updated_counter("two"), deleted), 10_061, "also removing the binding")
        .await;
    let gone = step(json!({ "deleted_classes": ["Gone"] }));
    refuse(&server, with_migrations(updated_counter("two"), gone), 10_061, "non-existent class Gone").await;
    refuse(&server, plain(), 10_064, "does not export class 'Counter'").await;

    let later = step(json!({ "new_sqlite_classes": ["Other"] }));
    let kept = upload_version(&server, &with_migrations(updated_counter("two"), later)).await;
    assert_eq!((kept.status.as_u16(), &kept.json()["errors"][0]["code"]), (400, &json!(10_211)));
    assert_eq!(increment(&server, "a").await, 1, "the first version still answers");
    // A binding may name its own Worker.
    let mut own = updated_counter("three");
    own.metadata["bindings"][0]["script_name"] = json!("counter");
    server.deploy(&own).await;
    assert_eq!(increment(&server, "a").await, 2);
    server.stop().await;
}

const NAMESPACES: &str = "/accounts/{account}/workers/durable_objects/namespaces";

async fn refuse(server: &Server, script: Script, code: u32, text: &str) {
    let answer = server.try_deploy(&script).await;
    let error = answer.json()["errors"][0].clone();
    assert!(answer.status.is_client_error(), "{}", answer.text());
    assert_eq!(error["code"], json!(code), "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(text)), "{error}");
}

/// The migration tag that wrangler sees.
async fn tag(server: &Server) -> Value {
    let service = server.api(Method::GET, "/accounts/{account}/workers/services/counter", None).await;
    service.expect(200).json()["result"]["default_environment"]["script"]["migration_tag"].clone()
}

/// The folder of the only Worker with objects.
fn home(server: &Server) -> std::path::PathBuf {
    let folder = server.folder().path().join("durable-objects");
    let mut homes =
        std::fs::read_dir(folder).expect("the room's folder").map(|entry| entry.expect("an entry").path());
    homes.find(|path| path.is_dir()).expect("a home")
}
