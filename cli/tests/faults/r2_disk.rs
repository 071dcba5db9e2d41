//! R2 on a disk that is full, read-only or damaged: the object or the file is named, other objects are served, the old object
//! stays where a put was refused, and what can heal heals without a restart.

use std::{fs, sync::Arc};

use bytes::Bytes;
use http::{Method, header};
use serde_json::json;
use testkit::{Answer, DataFolder, Server, command, send, wait_until};

use crate::{
    disk::{Disk, PAGE_BYTES, contains, flip, holding, run},
    support::SOON,
};

const MIB: usize = 1024 * 1024;

const BUCKETS: &str = "/accounts/{account}/r2/buckets";

/// A server with one bucket, seen through the v4 API.
struct Objects(Server);

impl Objects {
    async fn new(folder: &Arc<DataFolder>) -> Self {
        let server = Server::builder().folder(folder).start().await;
        let _ = server.api(Method::POST, BUCKETS, Some(&json!({"name": "films"}))).await.expect(200);
        server.log().expect("R2 could not");
        server.log().expect("An object could not be read");
        server.log().expect("Checkpoints fail");
        Self(server)
    }

    async fn put(&self, key: &str, value: impl Into<Bytes>) -> Answer {
        let request = self.0.api_request(Method::PUT, &format!("{BUCKETS}/films/objects/{key}"));
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        send(self.0.api_address(), request.body(value.into()).expect("a valid path")).await
    }

    /// A put that must be acknowledged.
    async fn keep(&self, key: &str, value: impl Into<Bytes>) {
        let answer = self.put(key, value).await;
        assert_eq!(answer.status, 200, "{key}: {}", answer.text());
    }

    async fn get(&self, key: &str) -> Answer {
        self.0.api(Method::GET, &format!("{BUCKETS}/films/objects/{key}"), None).await
    }

    /// Asserts that a request was refused in the envelope, and that the log names what is at fault.
    async fn check(&self, answer: &Answer, status: u16, words: &str, logged: &[&str]) {
        assert_eq!(answer.status, status, "{}", answer.text());
        let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(words), "`{message}` should say `{words}`");
        let log = self.0.log();
        let is_named = |line: &String| logged.iter().all(|text| line.contains(text));
        wait_until(&format!("a log line with {logged:?}"), SOON, || log.lines().iter().any(is_named)).await;
    }
}

#[tokio::test]
async fn r2_on_a_full_disk_keeps_the_old_object_and_heals_without_a_restart() {
    let Some(disk) = Disk::new("R2 on a full disk") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 8 * MIB]).expect("fill a part of the disk");
    let objects = Objects::new(&disk.folder).await;
    objects.keep("kept", "kept").await;
    objects.keep("large", vec![b'o'; MIB]).await;

    // Bodies in files, then bodies in rows.
    for (size, file) in [(3 * MIB, "r2/shard-"), (16 * 1024, "r2/shard-")] {
        let mut acknowledged = Vec::new();
        let refusal = loop {
            let key = format!("{size}-{}", acknowledged.len());
            let answer = objects.put(&key, vec![b'x'; size]).await;
            if answer.status != 200 {
                break answer;
            }
            acknowledged.push(key);
            assert!(acknowledged.len() < 1000, "the disk never fills");
        };
        objects.check(&refusal, 507, "disk is full", &["the disk is full", file]).await;
        for key in &acknowledged {
            assert!(objects.get(key).await.expect(200).body.iter().all(|byte| *byte == b'x'), "{key}");
        }
        assert_eq!(objects.put("large", vec![b'n'; 3 * MIB]).await.status, 507);
        assert_eq!(objects.get("large").await.expect(200).body, vec![b'o'; MIB], "the old object stays");
        assert_eq!(objects.get("kept").await.expect(200).text(), "kept");
    }

    fs::remove_file(&ballast).expect("make room");
    objects.keep("small", "after").await;
    objects.keep("large", vec![b'n'; 2 * MIB]).await;
    assert_eq!(objects.get("small").await.expect(200).text(), "after");
    assert_eq!(objects.get("large").await.expect(200).body, vec![b'n'; 2 * MIB]);
    objects.0.stop().await;
}

#[tokio::test]
async fn r2_on_a_read_only_folder_refuses_bodies_and_heals_without_a_restart() {
    let Some(disk) = Disk::new("R2 on a read-only folder") else { return };
    let objects = Objects::new(&disk.folder).await;
    objects.keep("large", vec![b'x'; 2 * MIB]).await;
    let shards = fs::read_dir(disk.path().join("r2")).expect("list the shards");
    let bodies = shards.map(|entry| entry.expect("an entry").path()).find(|path| path.is_dir());
    let bodies = bodies.expect("a shard with bodies");
    run(command("mount").arg("--bind").arg(&bodies).arg(&bodies)).expect("mount the folder upon itself");
    run(command("mount").args(["-o", "remount,ro,bind"]).arg(&bodies)).expect("make it read-only");

    let refusal = objects.put("other", vec![b'x'; 2 * MIB]).await;
    objects.check(&refusal, 503, "disk is read-only", &["it is read-only", "r2/shard-"]).await;
    objects.keep("small", "small").await;
    assert_eq!(objects.get("large").await.expect(200).body.len(), 2 * MIB);
    assert_eq!(objects.get("other").await.status, 404, "what was refused is not there");

    run(command("umount").arg(&bodies)).expect("make it writable again");
    objects.keep("other", vec![b'x'; 2 * MIB]).await;
    objects.0.stop().await;
}

#[tokio::test]
async fn a_damaged_row_or_page_of_r2_is_reported_and_harms_no_other_object() {
    let folder = Arc::new(DataFolder::new());
    let objects = Objects::new(&folder).await;
    objects.keep("row", "the body whose bit will flip").await;
    objects.keep("sound", vec![b's'; 20 * 1024]).await;
    for number in 0..200u8 {
        objects.keep(&format!("page-{number:03}"), body(number)).await;
    }
    objects.0.stop().await;
    let shard = holding(&folder.path().join("r2"), b"whose bit will flip");
    flip(&shard, |bytes| contains(bytes, b"whose bit will flip").expect("the body is there"));
    // The first byte of a page says what it is. A page in the middle: into the last one, new rows go.
    flip(&shard, |bytes| contains(bytes, &body(100)[..64]).expect("a body") / PAGE_BYTES * PAGE_BYTES);

    let objects = Objects(Server::builder().folder(&folder).start().await);
    for text in ["R2 could not", "An object could not be read"] {
        objects.0.log().expect(text);
    }
    let refusal = objects.get("row").await;
    objects.check(&refusal, 500, "could not read the object `row`", &["checksum", "row", "r2/shard-"]).await;
    let mut damaged = 0;
    for number in 0..200u8 {
        let key = format!("page-{number:03}");
        let answer = objects.get(&key).await;
        if answer.status == 200 {
            assert_eq!(answer.body, body(number), "{key}");
        } else {
            objects.check(&answer, 500, "", &["malformed", &key, "r2/shard-"]).await;
            damaged += 1;
        }
    }
    assert!((1..=4).contains(&damaged), "one page is damaged, not {damaged} objects");
    assert_eq!(objects.get("sound").await.expect(200).body.len(), 20 * 1024);
    objects.keep("row", "healed").await;
    assert_eq!(objects.get("row").await.expect(200).text(), "healed");
    objects.0.stop().await;
}

/// Small enough for its row, and unlike all others.
fn body(number: u8) -> Vec<u8> {
    vec![number; 3000]
}
