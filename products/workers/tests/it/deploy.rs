//! The calls that `wrangler deploy` and its companions make, in their order, and what they read from the answers.

use model::{BindingKind, Entry, ModuleKind};
use product::VersionSource;
use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Room, Upload, id};

#[tokio::test]
async fn a_new_worker_is_deployed_as_both_wranglers_do_it() {
    let room = Room::open().await;
    assert_eq!(room.get("/services/hello").await.refusal().1, 10_090);
    for path in ["/scripts/hello/secrets", "/scripts/hello/deployments", "/scripts/hello/settings"] {
        let answer = room.get(path).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (404, 10_007), "{path}");
    }
    assert_eq!(room.get("/subdomain").await.ok(), json!({"subdomain": "localhost"}));

    let upload = Upload::module("export default {}")
        .with("compatibility_flags", json!(["nodejs_compat"]))
        .with("observability", json!({"enabled": true}));
    let result = room.put("hello", &upload).await.ok();
    assert_eq!((&result["id"], &result["startup_time_ms"]), (&json!("hello"), &json!(7)));
    assert_eq!(result["etag"].as_str().map(str::len), Some(64));
    let version = id(&result["deployment_id"]);
    assert_eq!(room.answering("hello.localhost"), None, "nothing answers before its host is switched on");

    let tags = json!({"tags": ["cf:service=hello"]});
    let settings = room.json("PATCH", "/scripts/hello/script-settings", tags).await.ok();
    assert_eq!(settings["tags"], json!(["cf:service=hello"]));
    assert_eq!(settings["observability"], json!({"enabled": true}));
    let worker = room.get("/workers/hello").await.ok();
    let expected = json!({
        "enabled": false, "previews_enabled": false,
        "url": "https://hello.localhost", "preview_url_suffix": "-hello.localhost",
    });
    assert_eq!(worker["subdomain"], expected);
    assert_eq!(room.get(&format!("/workers/{}", worker["id"].as_str().unwrap())).await.ok()["name"], "hello");

    let enabled = room.json("POST", "/scripts/hello/subdomain", json!({"enabled": true})).await.ok();
    assert_eq!(enabled, json!({"enabled": true, "previews_enabled": true}));
    assert_eq!(room.answering("hello.localhost"), Some(vec![(version, 100.0)]));
    assert_eq!(
        room.answering(&format!("{}-hello.localhost", version.prefix())),
        Some(vec![(version, 100.0)])
    );

    let service = room.get("/services/hello").await.ok();
    let script = &service["default_environment"]["script"];
    assert_eq!(
        script["last_deployed_from"], "wrangler",
        "anything else makes wrangler ask before it deploys"
    );
    assert_eq!(script["tags"], json!(["cf:service=hello"]));
}

#[tokio::test]
async fn a_second_version_answers_once_it_is_deployed_and_the_first_is_retired() {
    let room = Room::open().await;
    let first = room.deployed("hello", &Upload::module("export default {a: 1}")).await;
    let upload = Upload::module("export default {a: 2}").with(
        "annotations",
        json!({"workers/message": "second", "workers/tag": "v2", "workers/alias": "next"}),
    );
    let uploaded = room.post_version("hello", &upload).await.ok();
    let second = id(&uploaded["id"]);
    assert_eq!((&uploaded["number"], &uploaded["metadata"]["has_preview"]), (&json!(2), &json!(true)));
    assert_eq!(uploaded["resources"]["script_runtime"]["compatibility_date"], "2026-01-01");
    assert_eq!(uploaded["annotations"]["workers/tag"], "v2");
    assert_eq!(room.answering("hello.localhost"), Some(vec![(first, 100.0)]));
    assert_eq!(room.answering("next-hello.localhost"), Some(vec![(second, 100.0)]));
    assert_eq!(room.runtime.last().metadata.tag, "v2");

    let body = json!({"strategy": "percentage", "versions": [{"version_id": second.to_string(), "percentage": 100}],
        "annotations": {"workers/message": "go"}, "code_update_strategy": {"mode": "deferred", "max_delay": 300}});
    let deployment = room.json("POST", "/scripts/hello/deployments", body).await.ok();
    assert_eq!(room.answering("hello.localhost"), Some(vec![(second, 100.0)]));
    assert_eq!(*room.runtime.retired.lock().unwrap(), [first]);

    let deployments = room.get("/scripts/hello/deployments").await.ok()["deployments"].clone();
    assert_eq!(deployments.as_array().map(Vec::len), Some(2));
    assert_eq!(deployments[0], deployment, "the newest comes first");
    assert_eq!(deployments[0]["annotations"]["workers/message"], "go");
    let versions = room.get("/scripts/hello/versions?deployable=true").await.ok();
    let numbers: Vec<_> = versions["items"].as_array().unwrap().iter().map(|item| &item["number"]).collect();
    assert_eq!(numbers, [2, 1]);
    let version = room.get(&format!("/scripts/hello/versions/{second}")).await.ok();
    assert_eq!(version, uploaded);
}

#[tokio::test]
async fn a_deployment_splits_requests_by_percentages_that_add_up() {
    let room = Room::open().await;
    let first = room.deployed("hello", &Upload::module("export default {a: 1}")).await;
    let second = id(&room.post_version("hello", &Upload::module("export default {a: 2}")).await.ok()["id"]);
    let other = room.deployed("other", &Upload::module("export default {}")).await;
    let portion = |version: &dyn std::fmt::Display, percentage: f64| json!({"version_id": version.to_string(), "percentage": percentage});
    let refused = [
        (vec![], 400, 7_400),
        (vec![portion(&first, 50.0), portion(&second, 49.0)], 400, 7_400),
        (vec![portion(&first, 101.0), portion(&second, -1.0)], 400, 7_400),
        (vec![portion(&first, 50.0), portion(&first, 50.0)], 400, 7_400),
        (vec![portion(&"nonsense", 100.0)], 400, 7_400),
        (vec![portion(&other, 100.0)], 404, 10_222),
        (vec![portion(&model::VersionId::random(), 100.0)], 404, 10_222),
        (vec![portion(&first, 10.0); 11], 400, 7_400),
    ];
    for (versions, status, code) in refused {
        let body = json!({"strategy": "percentage", "versions": versions});
        let answer = room.json("POST", "/scripts/hello/deployments", body.clone()).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (status, code), "{body}");
    }
    let body = json!({"strategy": "canary", "versions": [portion(&first, 100.0)]});
    assert_eq!(room.json("POST", "/scripts/hello/deployments", body).await.refusal().1, 7_400);
    assert_eq!(room.answering("hello.localhost"), Some(vec![(first, 100.0)]), "refusals change nothing");

    let body =
        json!({"strategy": "percentage", "versions": [portion(&first, 33.33), portion(&second, 66.67)]});
    room.json("POST", "/scripts/hello/deployments", body).await.ok();
    assert_eq!(room.answering("hello.localhost"), Some(vec![(first, 33.33), (second, 66.67)]));
    assert!(room.runtime.retired.lock().unwrap().is_empty(), "a version that still answers is not retired");
}

#[tokio::test]
async fn a_service_worker_comes_with_its_blobs() {
    let room = Room::open().await;
    let bindings = json!([
        {"name": "NOTE", "type": "text_blob", "part": "NOTE"}, {"name": "BIN", "type": "data_blob", "part": "BIN"},
        {"name": "ADD", "type": "wasm_module", "part": "ADD"}, {"name": "KV", "type": "kv_namespace", "namespace_id": NAMESPACE, "raw": true},
    ]);
    let upload = Upload::empty(json!({"body_part": "index.js", "bindings": bindings}))
        .file("ADD", "application/wasm", b"\0asm\x01\0\0\0")
        .file("NOTE", "text/plain", "note")
        .file("BIN", "application/octet-stream", [0xff, 0])
        .file("index.js", "application/javascript", "addEventListener('fetch', () => {})")
        .file("index.js.map", "application/source-map", "{}");
    let version = room.deployed("sw", &upload).await;

    let worker = room.register.load(version).await.unwrap().unwrap();
    assert_eq!(worker.entry, Entry::ServiceWorker("index.js".to_owned()));
    assert_eq!(worker.compatibility.date, "2021-11-02", "the default of uploads without a date");
    let kinds: Vec<_> = worker.modules.iter().map(|module| (module.name.as_str(), module.kind)).collect();
    let expected = [
        ("ADD", ModuleKind::Wasm),
        ("NOTE", ModuleKind::Text),
        ("BIN", ModuleKind::Data),
        ("index.js", ModuleKind::CommonJs),
        ("index.js.map", ModuleKind::SourceMap),
    ];
    assert_eq!(kinds, expected);
    assert!(matches!(&worker.bindings[3].kind, BindingKind::KvNamespace(id) if id.as_str() == NAMESPACE));
}

#[tokio::test]
async fn modules_come_back_byte_for_byte() {
    let room = Room::open().await;
    let upload = Upload::module("export default {}")
        .file("./a/b-note.txt", "text/plain", "grüße\r\n--boundary")
        .file("data.bin", "application/octet-stream", (0..=255).collect::<Vec<u8>>());
    let version = room.deployed("hello", &upload).await;
    for path in ["/scripts/hello".to_owned(), format!("/scripts/hello/content/v2?version={version}")] {
        let answer = room.get(&path).await;
        let body = answer.bytes;
        for content in [
            "export default {}".as_bytes(),
            "grüße\r\n--boundary".as_bytes(),
            &(0..=255).collect::<Vec<u8>>(),
        ] {
            assert!(body.windows(content.len()).any(|window| window == content), "{path}");
        }
    }
    assert_eq!(room.get("/scripts/hello/content/v2?version=nonsense").await.refusal().1, 10_222);
    let foreign = room.deployed("other", &upload).await;
    let answer = room.get(&format!("/scripts/hello/content/v2?version={foreign}")).await;
    assert_eq!(answer.refusal().1, 10_222, "a version is found only under its own script");
}

#[tokio::test]
async fn who_calls_a_worker_is_listed_for_those_who_would_delete_it() {
    let room = Room::open().await;
    room.deployed("callee", &Upload::module("export default {}")).await;
    let binding = json!([{"type": "service", "name": "CALLEE", "service": "callee"}]);
    room.deployed("caller", &Upload::module("export default {}").with("bindings", binding)).await;
    let reference =
        |service: &str| json!([{"service": service, "environment": "production", "name": "CALLEE"}]);
    let of_callee = room.get("/scripts/callee/references").await.ok();
    assert_eq!(of_callee["services"], json!({"incoming": reference("caller"), "outgoing": []}));
    let of_caller = room.get("/scripts/caller/references").await.ok();
    assert_eq!(of_caller["services"], json!({"incoming": [], "outgoing": reference("callee")}));
}

#[tokio::test]
async fn a_deleted_worker_answers_nowhere() {
    let room = Room::open().await;
    let version = room.deployed("hello", &Upload::module("export default {}")).await;
    room.deployed("kept", &Upload::module("export default {}")).await;
    assert_eq!(
        room.get("/scripts/hello/references").await.ok()["services"],
        json!({"incoming": [], "outgoing": []})
    );
    assert_eq!(room.get("/tails/by-consumer/hello").await.ok(), json!([]));
    assert_eq!(room.get("/durable_objects/namespaces?per_page=1000&page=1").await.ok(), json!([]));
    assert_eq!(room.json("DELETE", "/services/hello?force=true", Value::Null).await.ok(), Value::Null);

    assert_eq!(room.answering("hello.localhost"), None);
    assert_eq!(room.answering(&format!("{}-hello.localhost", version.prefix())), None);
    assert!(room.answering("kept.localhost").is_some());
    assert_eq!(*room.runtime.retired.lock().unwrap(), [version]);
    assert!(room.register.load(version).await.unwrap().is_none());
    let names: Vec<_> =
        room.get("/scripts").await.ok().as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(room.json("DELETE", "/scripts/hello", Value::Null).await.refusal().1, 10_007);
    room.deployed("hello", &Upload::module("export default {}")).await;
    assert_eq!(
        room.get("/scripts/hello/deployments").await.ok()["deployments"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_host_that_is_switched_off_is_not_routed() {
    let room = Room::open().await;
    let version = room.deployed("hello", &Upload::module("export default {}")).await;
    let preview = format!("{}-hello.localhost", version.prefix());
    let off = json!({"enabled": false, "previews_enabled": true});
    room.json("POST", "/scripts/hello/subdomain", off).await.ok();
    assert_eq!(room.answering("hello.localhost"), None);
    assert!(room.answering(&preview).is_some());
    room.json("DELETE", "/scripts/hello/subdomain", Value::Null).await.ok();
    assert_eq!(room.answering(&preview), None);
    assert_eq!(
        room.get("/scripts/hello/subdomain").await.ok(),
        json!({"enabled": false, "previews_enabled": false})
    );
}

#[tokio::test]
async fn what_is_not_here_yet_says_so_and_asking_for_none_of_it_is_fine() {
    let room = Room::open().await;
    room.deployed("hello", &Upload::module("export default {}")).await;
    let script = |rest: &str| format!("/scripts/hello/{rest}");
    for (method, rest, none, some) in [("PUT", "schedules", json!([]), json!([{"cron": "* * * * *"}]))] {
        room.json(method, &script(rest), none).await.ok();
        let answer = room.json(method, &script(rest), some).await;
        let (status, code, message) = answer.refusal();
        assert_eq!((status, code), (400, 10_501), "{rest}");
        assert!(message.contains("not supported by this version of Skerry yet"), "{message}");
    }
    for (method, rest) in [("POST", "tails"), ("POST", "assets-upload-session")] {
        assert_eq!(room.json(method, &script(rest), json!({})).await.refusal().1, 10_501, "{rest}");
    }
    assert_eq!(room.get(&script("schedules")).await.ok(), json!({"schedules": []}));
    assert_eq!(room.get("/subdomains/localhost").await.refusal().1, 10_031);
    assert_eq!(room.get("/subdomains/free").await.refusal().1, 10_032);
}
