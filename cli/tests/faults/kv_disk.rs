//! KV on a disk that is full, read-only or damaged: the key or the file is named, other keys are served, and what can heal
//! heals without a restart.

use std::{fs, sync::Arc};

use bytes::Bytes;
use http::{Method, header};
use serde_json::json;
use testkit::{Answer, DataFolder, Server, command, send, wait_until};

use crate::{
    disk::{Disk, PAGE_BYTES, contains, flip, holding, raw_get, run},
    support::SOON,
};

const MIB: usize = 1024 * 1024;

/// A server with one namespace, seen through the v4 API.
struct Keys {
    server: Server,
    path: String,
}

impl Keys {
    async fn new(folder: &Arc<DataFolder>) -> Self {
        let server = Server::builder().folder(folder).start().await;
        let namespaces = "/accounts/{account}/storage/kv/namespaces";
        let created = server.api(Method::POST, namespaces, Some(&json!({ "title": "disk" }))).await;
        let id = created.json()["result"]["id"].as_str().expect("a namespace has an id").to_owned();
        Self { server, path: format!("{namespaces}/{id}") }
    }

    async fn put(&self, key: &str, value: impl Into<Bytes>) -> Answer {
        let request = self.server.api_request(Method::PUT, &format!("{}/values/{key}", self.path));
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        send(self.server.api_address(), request.body(value.into()).expect("a valid path")).await
    }

    /// A put that must be acknowledged.
    async fn keep(&self, key: &str, value: impl Into<Bytes>) {
        let answer = self.put(key, value).await;
        assert_eq!(answer.status, 200, "{key}: {}", answer.text());
    }

    async fn get(&self, key: &str) -> Answer {
        self.server.api(Method::GET, &format!("{}/values/{key}", self.path), None).await
    }

    /// Asserts that a key is refused in the envelope, and that the log names what is at fault.
    async fn check(&self, answer: &Answer, status: u16, words: &str, logged: &[&str]) {
        assert_eq!(answer.status, status, "{}", answer.text());
        let body = answer.json();
        let message = body["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "`{message}` should say `{words}`");
        let log = self.server.log();
        let is_named = |line: &String| logged.iter().all(|text| line.contains(text));
        wait_until(&format!("a log line with {logged:?}"), SOON, || log.lines().iter().any(is_named)).await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_heals_without_a_restart() {
    let Some(disk) = Disk::new("a_full_disk") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 8 * MIB]).expect("fill a part of the disk");
    let keys = Keys::new(&disk.folder).await;
    for text in ["KV could not answer", "Checkpoints fail", "Dead keys could not be swept"] {
        keys.server.log().expect(text);
    }
    keys.keep("kept", "kept").await;

    for (size, file) in [(2 * MIB, "kv/blobs"), (700 * 1024, "kv/shard-")] {
        let mut acknowledged = Vec::new();
        let refusal = loop {
            let key = format!("{size}-{}", acknowledged.len());
            let answer = keys.put(&key, vec![b'x'; size]).await;
            if answer.status != 200 {
                break answer;
            }
            acknowledged.push(key);
            assert!(acknowledged.len() < 40, "the disk never fills");
        };
        keys.check(&refusal, 507, "the server's disk is full", &["the disk is full", file]).await;
        for key in &acknowledged {
            assert!(keys.get(key).await.expect(200).body.iter().all(|byte| *byte == b'x'), "{key}");
        }
        assert_eq!(keys.get("kept").await.expect(200).text(), "kept");
    }
    let listed = keys.server.api(Method::GET, &format!("{}/keys", keys.path), None).await.expect(200);
    assert!(listed.text().contains("kept"));

    fs::remove_file(&ballast).expect("make room");
    keys.keep("small", "after").await;
    keys.keep("large", vec![b'x'; 2 * MIB]).await;
    assert_eq!(keys.get("small").await.expect(200).text(), "after");
    keys.server.stop().await;
}

#[tokio::test]
async fn a_read_only_disk_refuses_writes_serves_reads_and_heals_without_a_restart() {
    let Some(disk) = Disk::new("a_read_only_disk") else { return };
    let keys = Keys::new(&disk.folder).await;
    keys.server.log().expect("KV could not answer");
    keys.keep("large", vec![b'x'; 2 * MIB]).await;
    // The kernel takes no files from under a writer: the whole disk cannot turn, the folder of large values can.
    let blobs = disk.path().join("kv/blobs");
    run(command("mount").arg("--bind").arg(&blobs).arg(&blobs)).expect("mount the folder upon itself");
    run(command("mount").args(["-o", "remount,ro,bind"]).arg(&blobs)).expect("make it read-only");
    let refusal = keys.put("other", vec![b'x'; 2 * MIB]).await;
    keys.check(&refusal, 503, "the server's disk is read-only", &["it is read-only", "kv/blobs"]).await;
    keys.keep("small", "small").await;
    assert_eq!(keys.get("large").await.expect(200).body.len(), 2 * MIB);
    assert_eq!(keys.get("other").await.status, 404, "what was refused is not there");
    run(command("umount").arg(&blobs)).expect("make it writable again");
    keys.keep("other", vec![b'x'; 2 * MIB]).await;

    // A start on a disk that is read-only from the beginning says so.
    keys.server.stop().await;
    disk.remount("ro");
    let serve = ["serve", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--data"];
    let output =
        command(env!("CARGO_BIN_EXE_skerry")).args(serve).arg(disk.path()).output().expect("run skerry");
    let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success() && words.contains("read-only"), "{words}");
    disk.remount("rw");
}

#[tokio::test]
async fn a_flipped_bit_is_reported_by_its_key_and_harms_no_other() {
    let keys = Keys::new(&Arc::new(DataFolder::new())).await;
    keys.keep("inline", "the value whose bit will flip").await;
    keys.keep("blob", vec![b'x'; 2 * MIB]).await;
    keys.keep("sound", "sound").await;
    for number in 0..300 {
        keys.keep(&format!("page-{number:03}"), vec![b'p'; 1000]).await;
    }
    let folder = keys.server.folder();
    let keys = {
        let Keys { server, path } = keys;
        server.stop().await;
        let shard = holding(&folder.path().join("kv"), b"whose bit will flip");
        flip(&shard, |bytes| contains(bytes, b"whose bit will flip").expect("the value is there"));
        // The first byte of a page says what it is; a page in the middle of the filling is one of its leaves.
        flip(&shard, |bytes| bytes.len() / 2 / PAGE_BYTES * PAGE_BYTES);
        let blob = fs::read_dir(folder.path().join("kv/blobs")).expect("list the blobs").next();
        flip(&blob.expect("one blob").expect("an entry").path(), |_| MIB);
        Keys { server: Server::builder().folder(&folder).start().await, path }
    };
    for text in ["A value is damaged on the disk", "KV could not answer", "Dead keys could not be swept"] {
        keys.server.log().expect(text);
    }
    let refusal = keys.get("inline").await;
    keys.check(&refusal, 500, "the value of \"inline\" is damaged", &["damaged", "inline", "kv/shard-"])
        .await;
    let mut damaged = 0;
    for number in 0..300 {
        let key = format!("page-{number:03}");
        let answer = keys.get(&key).await;
        if answer.status == 200 {
            assert!(answer.body.iter().all(|byte| *byte == b'p'), "{key}");
        } else {
            keys.check(&answer, 500, "", &["damaged", &key, "kv/shard-"]).await;
            damaged += 1;
        }
    }
    assert!((1..=8).contains(&damaged), "one page of a few keys is damaged, not {damaged} keys");
    assert_eq!(keys.get("sound").await.expect(200).text(), "sound");

    // The file's end is held back, so the answer breaks off; what the client got is not the whole value.
    let request = keys.server.api_request(Method::GET, &format!("{}/values/blob", keys.path));
    let raw = raw_get(&keys.server, request.body(()).expect("a valid path").uri().path()).await;
    assert!(raw.len() < 2 * MIB, "{} bytes arrived", raw.len());
    let line = keys.server.log().wait_for("key=\"blob\"", SOON).await;
    assert!(line.contains("kv/blobs"), "{line}");

    // A new value heals the key.
    for key in ["inline", "blob"] {
        keys.keep(key, "healed").await;
        assert_eq!(keys.get(key).await.expect(200).text(), "healed");
    }
    keys.server.stop().await;
}
