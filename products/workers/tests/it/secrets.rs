//! Secrets and bindings changed without an upload: each change is a version of its own, tried before it counts.

use axum::http::StatusCode;
use model::{BindingKind, VersionId};
use product::TrialError;
use serde_json::{Value, json};

use crate::harness::{Room, Upload, id};

const HOST: &str = "hello.localhost";

async fn with_variable(room: &Room) -> VersionId {
    let bindings = json!([{"name": "VAR", "type": "plain_text", "text": "v"}]);
    room.deployed("hello", &Upload::module("export default {}").with("bindings", bindings)).await
}

async fn put(room: &Room, name: &str, text: &str) -> Value {
    let body = json!({"name": name, "text": text, "type": "secret_text"});
    room.json("PUT", "/scripts/hello/secrets", body).await.ok()
}

/// Variables and secrets of the last version tried, in order of their names.
fn tried(room: &Room) -> Vec<(String, String)> {
    let bindings = room.runtime.last().bindings.into_iter();
    let text = |kind| match kind {
        BindingKind::PlainText(text) => text,
        BindingKind::SecretText(secret) => format!("secret {}", secret.reveal()),
        other => panic!("{other:?}"),
    };
    let mut found: Vec<_> = bindings.map(|binding| (binding.name, text(binding.kind))).collect();
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

async fn names(room: &Room) -> Vec<String> {
    let secrets = room.get("/scripts/hello/secrets").await.ok();
    let secrets = secrets.as_array().expect("a list").iter();
    secrets.map(|secret| secret["name"].as_str().expect("a name").to_owned()).collect()
}

async fn newest(room: &Room, list: &str) -> Value {
    let path = format!("/scripts/hello/{list}");
    let answer = room.get(&path).await.ok();
    answer[if list == "versions" { "items" } else { list }][0].clone()
}

#[tokio::test]
async fn each_change_of_a_secret_is_tried_and_deployed_as_a_version() {
    let room = Room::open().await;
    let first = with_variable(&room).await;
    assert_eq!(put(&room, "TOKEN/é", "one").await, json!({"name": "TOKEN/é", "type": "secret_text"}));
    assert_eq!(tried(&room), pairs(&[("TOKEN/é", "secret one"), ("VAR", "v")]));
    let (version, deployment) = (newest(&room, "versions").await, newest(&room, "deployments").await);
    assert_eq!(version["number"], 2);
    assert_eq!(room.answering(HOST), Some(vec![(id(&version["id"]), 100.0)]));
    assert_eq!(version["annotations"], json!({"workers/triggered_by": "secret"}));
    assert_eq!(deployment["annotations"], json!({"workers/triggered_by": "secret"}));
    assert_eq!(*room.runtime.retired.lock().unwrap(), [first]);

    put(&room, "TOKEN/é", "two").await;
    assert_eq!(tried(&room), pairs(&[("TOKEN/é", "secret two"), ("VAR", "v")]));
    let one = "/scripts/hello/secrets/TOKEN%2F%C3%A9?url_encoded=true";
    assert_eq!(room.get(one).await.ok()["name"], "TOKEN/é");
    room.send("DELETE", one, "", Vec::new()).await.ok();
    assert_eq!(tried(&room), pairs(&[("VAR", "v")]));
    assert_eq!(room.get(one).await.refusal(), (404, 10_056, "Binding 'TOKEN/é' not found."));
    assert_eq!(room.send("DELETE", one, "", Vec::new()).await.refusal().1, 10_056);
    assert_eq!(newest(&room, "versions").await["number"], 4);
}

#[tokio::test]
async fn many_secrets_change_in_one_version() {
    let room = Room::open().await;
    with_variable(&room).await;
    put(&room, "OLD", "1").await;
    put(&room, "KEPT", "2").await;
    let patch = json!({"secrets": {
        "OLD": null, "ABSENT": null, "NEW": {"name": "NEW", "text": "3", "type": "secret_text"},
    }});
    let answer = room.json("PATCH", "/scripts/hello/secrets-bulk", patch).await.ok();
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(tried(&room), pairs(&[("KEPT", "secret 2"), ("NEW", "secret 3"), ("VAR", "v")]));
    assert_eq!(newest(&room, "versions").await["number"], 4);
    assert_eq!(names(&room).await, ["KEPT", "NEW"]);
}

#[tokio::test]
async fn a_merge_patch_makes_a_version_that_nobody_deployed() {
    let room = Room::open().await;
    with_variable(&room).await;
    put(&room, "OLD", "1").await;
    let before = room.answering(HOST);
    let patch = json!({
        "env": {"OLD": null, "NEW": {"type": "secret_text", "text": "2"}, "VAR": {"type": "inherit"}},
        "annotations": {"workers/message": "why", "workers/tag": "v1"},
    });
    let version = room.json("PATCH", "/workers/hello/versions/latest", patch).await.ok();
    assert_eq!(tried(&room), pairs(&[("NEW", "secret 2"), ("VAR", "v")]));
    let annotations =
        json!({"workers/message": "why", "workers/tag": "v1", "workers/triggered_by": "secret"});
    assert_eq!(version["annotations"], annotations);
    assert_eq!(room.answering(HOST), before);

    // Deploying a change now would also deploy what only waits; wrangler knows both codes.
    let body = json!({"name": "A", "text": "x", "type": "secret_text"});
    assert_eq!(room.json("PUT", "/scripts/hello/secrets", body).await.refusal().1, 10_215);
    assert_eq!(patch_settings(&room, json!({"bindings": []})).await.refusal().1, 10_214);
    let tag = room.get("/workers/hello").await.ok()["id"].as_str().unwrap().to_owned();
    room.json("PATCH", &format!("/workers/{tag}/versions/latest"), json!({"env": {"NEW": null}})).await.ok();
    assert_eq!(tried(&room), pairs(&[("VAR", "v")]));
}

#[tokio::test]
async fn a_list_of_bindings_keeps_what_it_only_names_and_drops_what_it_does_not() {
    let room = Room::open().await;
    with_variable(&room).await;
    put(&room, "KEPT", "1").await;
    put(&room, "GONE", "2").await;
    let bindings = json!([
        {"type": "plain_text", "name": "VAR"}, {"type": "secret_text", "name": "KEPT"},
        {"type": "secret_text", "name": "NEW", "text": "3"},
    ]);
    let settings = patch_settings(&room, json!({"bindings": bindings, "tags": ["a"]})).await.ok();
    assert_eq!(tried(&room), pairs(&[("KEPT", "secret 1"), ("NEW", "secret 3"), ("VAR", "v")]));
    assert_eq!((&settings["tags"], settings["bindings"].as_array().unwrap().len()), (&json!(["a"]), 3));
    let number = newest(&room, "versions").await["number"].clone();
    assert_eq!(patch_settings(&room, json!({"logpush": true})).await.ok()["logpush"], true);
    assert_eq!(newest(&room, "versions").await["number"], number, "these are the script's, not a version's");
    let missing = json!({"bindings": [{"type": "secret_text", "name": "NONE"}]});
    assert_eq!(patch_settings(&room, missing).await.refusal().1, 10_057);
    let date = json!({"compatibility_date": "2026-01-02"});
    assert_eq!(patch_settings(&room, date).await.refusal().1, 10_501);
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let room = Room::open().await;
    with_variable(&room).await;
    let (before, trials) = (room.answering(HOST), room.runtime.trials.lock().unwrap().len());
    for (body, code) in [
        (json!({"name": "VAR", "text": "x", "type": "secret_text"}), 10_053),
        (json!({"name": "A", "type": "secret_text"}), 10_021),
        (json!({"name": "A", "text": "x", "type": "plain_text"}), 10_021),
        (json!({"name": "", "text": "x", "type": "secret_text"}), 10_052),
        (json!({"name": "A", "text": "x".repeat(5 * 1024 + 1), "type": "secret_text"}), 10_054),
        (json!([]), 10_052),
    ] {
        assert_eq!(room.json("PUT", "/scripts/hello/secrets", body).await.refusal().1, code);
    }
    for body in
        [json!({"secrets": []}), json!({"secrets": {"A": "text"}}), json!({"secrets": {"A": {"name": "B"}}})]
    {
        assert_eq!(room.json("PATCH", "/scripts/hello/secrets-bulk", body).await.refusal().1, 10_021);
    }
    let other = json!({"compatibility_date": "2026-01-02"});
    assert_eq!(room.json("PATCH", "/workers/hello/versions/latest", other).await.refusal().1, 10_501);
    assert_eq!(room.json("PATCH", "/workers/none/versions/latest", json!({})).await.refusal().1, 10_007);
    let put_on_none =
        room.json("PUT", "/scripts/none/secrets", json!({"name": "A", "text": "x", "type": "secret_text"}));
    assert_eq!(put_on_none.await.refusal().1, 10_007);
    assert_eq!(room.runtime.trials.lock().unwrap().len(), trials);

    *room.runtime.verdict.lock().unwrap() = Some(TrialError::Rejected("it needs TOKEN".to_owned()));
    let body = json!({"name": "A", "text": "x", "type": "secret_text"});
    let answer = room.json("PUT", "/scripts/hello/secrets", body).await;
    assert_eq!(answer.refusal(), (400, 10_021, "it needs TOKEN"));
    assert_eq!((room.answering(HOST), names(&room).await.len()), (before, 0));
}

#[tokio::test]
async fn a_secret_that_was_changed_is_there_after_a_restart() {
    let room = Room::open().await;
    with_variable(&room).await;
    put(&room, "TOKEN", "hunter2").await;
    let room = room.reopen().await;
    assert_eq!(names(&room).await, ["TOKEN"]);
    put(&room, "OTHER", "x").await;
    assert_eq!(tried(&room), pairs(&[("OTHER", "secret x"), ("TOKEN", "secret hunter2"), ("VAR", "v")]));
}

#[tokio::test]
async fn going_back_over_a_changed_secret_has_to_be_forced() {
    let room = Room::open().await;
    let first = with_variable(&room).await;
    put(&room, "B", "1").await;
    let second = id(&newest(&room, "versions").await["id"]);
    put(&room, "A", "1").await;
    put(&room, "B", "2").await;
    let third = id(&newest(&room, "versions").await["id"]);
    let all = |version: VersionId| json!({"strategy": "percentage", "versions": [{"version_id": version.to_string(), "percentage": 100}]});

    let refused = room.json("POST", "/scripts/hello/deployments", all(second)).await;
    let (status, code, message) = refused.refusal();
    assert_eq!((status, code), (400, 10_220));
    assert!(message.ends_with("The following secrets have changed: A, B"), "{message}");
    assert_eq!(room.answering(HOST), Some(vec![(third, 100.0)]));

    let forced = room.json("POST", "/scripts/hello/deployments?force=true", all(second)).await.ok();
    assert_eq!(forced["annotations"], json!({"workers/triggered_by": "rollback"}));
    assert_eq!(room.answering(HOST), Some(vec![(second, 100.0)]));
    // Forward again, to what is newer: no rollback.
    let forward = room.json("POST", "/scripts/hello/deployments", all(third)).await.ok();
    assert_eq!(forward["annotations"], json!({"workers/triggered_by": "deployment"}));
    let split = json!({"strategy": "percentage", "versions": [
        {"version_id": first.to_string(), "percentage": 50}, {"version_id": third.to_string(), "percentage": 50},
    ]});
    room.json("POST", "/scripts/hello/deployments", split).await.ok();
    assert_eq!(room.json("POST", "/scripts/hello/deployments", all(first)).await.refusal().1, 10_220);
}

#[tokio::test]
async fn an_older_client_deletes_a_secret_by_not_naming_it() {
    let room = Room::open().await;
    with_variable(&room).await;
    put(&room, "KEPT", "1").await;
    put(&room, "GONE", "2").await;
    let bindings = json!([{"name": "VAR", "type": "inherit"}, {"name": "KEPT", "type": "inherit"}]);
    let upload = Upload::module("export default {}").with("bindings", bindings);
    room.post_version("hello", &upload.with("keep_bindings", json!(["secret_key"]))).await.ok();
    assert_eq!(tried(&room), pairs(&[("KEPT", "secret 1"), ("VAR", "v")]));
}

async fn patch_settings(room: &Room, settings: Value) -> crate::harness::Answer {
    let body =
        format!("--b\r\nContent-Disposition: form-data; name=\"settings\"\r\n\r\n{settings}\r\n--b--\r\n");
    let content_type = "multipart/form-data; boundary=b";
    let answer = room.send("PATCH", "/scripts/hello/settings", content_type, body.into_bytes()).await;
    assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
