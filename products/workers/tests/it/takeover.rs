//! What a version takes over from the one before: inherited bindings, kept types, and secrets always.

use model::{Binding, BindingKind};
use serde_json::json;

use crate::harness::{NAMESPACE, Room, Upload};

fn upload(bindings: serde_json::Value) -> Upload {
    Upload::module("export default {}").with("bindings", bindings)
}

fn names(bindings: &[Binding]) -> Vec<&str> {
    let mut names: Vec<_> = bindings.iter().map(|binding| binding.name.as_str()).collect();
    names.sort_unstable();
    names
}

async fn first(room: &Room) {
    let bindings = json!([
        {"name": "SECRET", "type": "secret_text", "text": "hunter2"}, {"name": "VAR", "type": "plain_text", "text": "v"},
        {"name": "JSON", "type": "json", "json": {"a": [1, null]}}, {"name": "KV", "type": "kv_namespace", "namespace_id": NAMESPACE},
    ]);
    room.deployed("hello", &upload(bindings)).await;
}

#[tokio::test]
async fn secrets_stay_and_variables_go_unless_kept() {
    let room = Room::open().await;
    first(&room).await;
    room.put("hello", &upload(json!([]))).await.ok();
    assert_eq!(
        names(&room.runtime.last().bindings),
        ["SECRET"],
        "an older wrangler does not ask to keep secrets"
    );

    let room = Room::open().await;
    first(&room).await;
    let keep = json!(["plain_text", "json", "secret_text", "secret_key"]);
    room.put(
        "hello",
        &upload(json!([{"name": "VAR", "type": "plain_text", "text": "new"}])).with("keep_bindings", keep),
    )
    .await
    .ok();
    let bindings = room.runtime.last().bindings;
    assert_eq!(names(&bindings), ["JSON", "SECRET", "VAR"]);
    let var = bindings.iter().find(|binding| binding.name == "VAR").unwrap();
    assert!(matches!(&var.kind, BindingKind::PlainText(text) if text == "new"), "a binding given anew wins");
}

#[tokio::test]
async fn an_inherited_binding_is_the_latest_versions() {
    let room = Room::open().await;
    first(&room).await;
    let bindings = json!([{"name": "KV", "type": "inherit"}, {"name": "RENAMED", "type": "inherit", "old_name": "SECRET"}, {"name": "SECRET", "type": "secret_text"}]);
    room.post_version("hello", &upload(bindings)).await.ok();
    let bindings = room.runtime.last().bindings;
    assert_eq!(names(&bindings), ["KV", "RENAMED", "SECRET"]);
    for binding in &bindings {
        match &binding.kind {
            BindingKind::KvNamespace(id) => assert_eq!(id.as_str(), NAMESPACE),
            BindingKind::SecretText(secret) => assert_eq!(secret.reveal(), "hunter2"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_binding_can_be_inherited_from_a_version_that_is_named() {
    let room = Room::open().await;
    let var = |text: &str| json!([{"name": "VAR", "type": "plain_text", "text": text}]);
    let first = room.deployed("hello", &upload(var("first"))).await;
    room.put("hello", &upload(var("second"))).await.ok();
    let inherit = |name: &str, version: &str| json!({"name": name, "type": "inherit", "old_name": "VAR", "version_id": version});
    let both = json!([inherit("OLD", &first.to_string()), inherit("NEW", "latest")]);
    room.post_version("hello", &upload(both)).await.ok();
    let texts = |room: &Room| -> Vec<(String, String)> {
        let text = |binding: &Binding| match &binding.kind {
            BindingKind::PlainText(text) => (binding.name.clone(), text.clone()),
            other => panic!("{other:?}"),
        };
        room.runtime.last().bindings.iter().map(text).collect()
    };
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(texts(&room), [pair("OLD", "first"), pair("NEW", "second")]);

    let patch = json!({"env": {"OLD": null, "NEW": inherit("NEW", &first.to_string())}});
    room.json("PATCH", "/workers/hello/versions/latest", patch).await.ok();
    assert_eq!(texts(&room), [pair("NEW", "first")], "without an upload too");

    for nobody in ["0b9c5d14-7d3c-4d0c-8b43-1f2ad0a7a0c1", "first"] {
        let answer = room.post_version("hello", &upload(json!([inherit("OLD", nobody)]))).await;
        let (status, code, text) = answer.refusal();
        assert!(
            (status, code) == (400, 10_057) && text.starts_with("inherit binding 'OLD' is invalid"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_secret_is_overwritten_by_name_whatever_its_new_type() {
    let room = Room::open().await;
    first(&room).await;
    room.put("hello", &upload(json!([{"name": "SECRET", "type": "plain_text", "text": "open"}]))).await.ok();
    assert!(matches!(&room.runtime.last().bindings[..], [Binding { kind: BindingKind::PlainText(_), .. }]));
}

#[tokio::test]
async fn the_limit_on_variables_counts_what_is_taken_over() {
    let room = Room::open().await;
    first(&room).await;
    let bindings =
        (0..128).map(|n| json!({"name": format!("V{n}"), "type": "plain_text", "text": ""})).collect();
    assert_eq!(room.put("hello", &upload(bindings)).await.refusal().1, 10_055);
}

#[tokio::test]
async fn a_secret_never_leaves_and_does_not_lie_readable_on_disk() {
    let room = Room::open().await;
    first(&room).await;
    assert_eq!(
        room.get("/scripts/hello/secrets").await.ok(),
        json!([{"name": "SECRET", "type": "secret_text"}])
    );
    let version =
        room.get("/scripts/hello/versions").await.ok()["items"][0]["id"].as_str().unwrap().to_owned();
    for path in [
        "/scripts/hello/settings",
        "/scripts/hello/versions",
        &format!("/scripts/hello/versions/{version}"),
        "/services/hello",
        "/workers/hello",
    ] {
        let answer = room.get(path).await;
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("hunter2"), "{path}");
    }
    for file in ["meta.sqlite", "meta.sqlite-wal"] {
        let bytes = std::fs::read(room.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{file}");
    }
}
