//! What is left after a restart, a crash in the middle, a caller that hangs up, and two callers at once.

use std::{fs, path::Path, time::Duration};

use product::VersionSource;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{NAMESPACE, Room, Upload, id};

fn module(source: &str) -> Upload {
    Upload::module(source)
}

#[tokio::test]
async fn a_restart_publishes_the_same_hosts_and_finds_the_same_code() {
    let room = Room::open().await;
    let bindings = json!([{"name": "S", "type": "secret_text", "text": "hunter2"}, {"name": "KV", "type": "kv_namespace", "namespace_id": NAMESPACE}]);
    let first = room.deployed("hello", &module("export default {a: 1}").with("bindings", bindings)).await;
    let second = id(&room.post_version("hello", &module("export default {a: 2}")).await.ok()["id"]);
    let split = json!({"strategy": "percentage", "versions": [{"version_id": first.to_string(), "percentage": 90}, {"version_id": second.to_string(), "percentage": 10}]});
    room.json("POST", "/scripts/hello/deployments", split).await.ok();
    let hosts = [
        "hello.localhost".to_owned(),
        format!("{}-hello.localhost", first.prefix()),
        format!("{}-hello.localhost", second.prefix()),
    ];
    let before: Vec<_> = hosts.iter().map(|host| room.answering(host)).collect();
    let tried = room.runtime.trials.lock().unwrap()[0].clone();

    let room = room.reopen().await;
    assert_eq!(hosts.iter().map(|host| room.answering(host)).collect::<Vec<_>>(), before);
    let loaded = room.register.load(first).await.unwrap().unwrap();
    assert_eq!(format!("{loaded:?}"), format!("{tried:?}"), "a version is loaded as it was tried");
    room.deployed("hello", &module("export default {a: 3}")).await;
    assert_eq!(room.runtime.last().bindings.len(), 1, "the secret outlived the restart");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_deploy_leaves_the_old_version_serving() {
    let room = Room::open().await;
    let old = room.deployed("hello", &module("export default {a: 1}")).await;
    room.runtime.hold();
    let upload = module("export default {a: 2}");
    let (crashed, _) = tokio::join!(
        async {
            taken(&room.runtime.begun).await;
            // The disk as a crash at this moment leaves it, with the new module already written.
            let crashed = tempfile::tempdir().expect("a temporary folder");
            copy_folder(room.folder.path(), crashed.path());
            fs::write(crashed.path().join("workers/modules/.half.tmp"), "half").expect("a leftover");
            room.runtime.gate.add_permits(1);
            crashed
        },
        room.put("hello", &upload)
    );
    let reopened = Room::open_in(crashed).await;
    assert_eq!(reopened.answering("hello.localhost"), Some(vec![(old, 100.0)]));
    assert_eq!(reopened.get("/scripts/hello/versions").await.ok()["items"].as_array().map(Vec::len), Some(1));
    let files = fs::read_dir(reopened.folder.path().join("workers/modules")).unwrap().count();
    assert_eq!(files, 1, "what no version names is swept");
    reopened.deployed("hello", &upload).await;
}

#[tokio::test]
async fn a_deploy_whose_caller_hangs_up_is_finished_and_published() {
    let room = Room::open().await;
    let old = room.deployed("hello", &module("export default {a: 1}")).await;
    room.runtime.hold();
    let upload = module("export default {a: 2}");
    tokio::select! {
        _ = room.put("hello", &upload) => panic!("the trial is held"),
        () = taken(&room.runtime.begun) => {}
    }
    room.runtime.gate.add_permits(1);
    assert!(room.house.tasks.stop(Duration::from_secs(30)).await, "the change drains");
    let answering = room.answering("hello.localhost").unwrap();
    assert_ne!(answering[0].0, old);
    assert_eq!(*room.runtime.retired.lock().unwrap(), [old]);
}

#[tokio::test]
async fn two_deploys_of_one_script_wait_for_each_other() {
    let room = Room::open().await;
    let uploads: Vec<_> = (0..4).map(|n| module(&format!("export default {{a: {n}}}"))).collect();
    let answers = tokio::join!(
        room.put("hello", &uploads[0]),
        room.put("hello", &uploads[1]),
        room.put("hello", &uploads[2]),
        room.put("hello", &uploads[3])
    );
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        answer.ok();
    }
    assert_eq!(room.runtime.most_at_once(), 1);
    let newest =
        room.get("/scripts/hello/deployments").await.ok()["deployments"][0]["versions"][0]["version_id"]
            .clone();
    room.json("POST", "/scripts/hello/subdomain", json!({"enabled": true})).await.ok();
    assert_eq!(room.answering("hello.localhost").unwrap()[0].0, id(&newest));
    assert_eq!(room.runtime.retired.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_damaged_module_is_noticed_when_it_is_loaded() {
    let room = Room::open().await;
    let version = room.deployed("hello", &module("export default {}")).await;
    let file =
        fs::read_dir(room.folder.path().join("workers/modules")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "export default !!").unwrap();
    assert!(
        room.register.load(version).await.unwrap_err().to_string().contains("not those that were written")
    );
    room.put("hello", &module("export default {}")).await.ok();
    assert!(room.register.load(version).await.unwrap().is_some(), "uploading the same bytes mends it");
}

#[tokio::test]
async fn modules_go_with_the_last_version_that_has_them() {
    let room = Room::open().await;
    let shared = module("export default {shared: true}");
    room.deployed("one", &shared).await;
    room.deployed("one", &module("export default {a: 1}")).await;
    let other = room.deployed("two", &shared).await;
    let count = || fs::read_dir(room.folder.path().join("workers/modules")).unwrap().count();
    assert_eq!(count(), 2);
    room.json("DELETE", "/scripts/one", json!(null)).await.ok();
    assert_eq!(count(), 1, "what the other Worker has too stays");
    assert!(room.register.load(other).await.unwrap().is_some());
    room.json("DELETE", "/scripts/two", json!(null)).await.ok();
    assert_eq!(count(), 0);
    room.deployed("two", &shared).await;
}

async fn taken(semaphore: &Semaphore) {
    semaphore.acquire().await.expect("never closed").forget();
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a new folder");
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
