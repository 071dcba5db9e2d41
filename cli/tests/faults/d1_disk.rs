//! D1 on a disk that is full, read-only or damaged: the caller is told in Cloudflare's manner and the log names the file,
//! what was acknowledged stays, neighbours are served, and what can heal heals without a restart.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, DataFolder, Server, command, wait_until};

use crate::{
    d1,
    disk::{Disk, PAGE_BYTES, contains, flip, run},
    support::SOON,
};

const MIB: usize = 1024 * 1024;

const RUNS: &str = "the server runs";

/// What a server may complain of here.
const COMPLAINTS: [&str; 6] = [
    "D1 could not answer",
    "A database's log cannot be archived",
    "A database's log could not be moved into its file",
    "A crash would now blur",
    "Checkpoints fail",
    "The last checkpoint failed",
];

/// A server with databases, seen through the v4 API.
struct Databases(Server);

impl Databases {
    async fn start(folder: &Arc<DataFolder>) -> Self {
        let server = Server::builder().folder(folder).start().await;
        for complaint in COMPLAINTS {
            server.log().expect(complaint);
        }
        Self(server)
    }

    /// Makes a database with a table; returns its folder.
    async fn create(&self, name: &str) -> PathBuf {
        let folder = d1::make(&self.0, name).await;
        self.rows(name, "CREATE TABLE t (a INTEGER PRIMARY KEY, filler BLOB)").await;
        folder
    }

    async fn query(&self, name: &str, sql: &str) -> Answer {
        d1::try_query(&self.0, name, sql).await.expect(RUNS)
    }

    async fn rows(&self, name: &str, sql: &str) -> Value {
        d1::rows(&self.0, name, sql).await
    }

    async fn count(&self, name: &str) -> u64 {
        self.rows(name, "SELECT count(*) AS n FROM t").await[0]["n"].as_u64().expect("a number")
    }

    async fn bookmark(&self, name: &str) -> String {
        d1::bookmark(&self.0, name).await.expect(RUNS)
    }

    async fn restore(&self, name: &str, bookmark: &str) -> Answer {
        d1::restore(&self.0, name, bookmark).await.expect(RUNS)
    }

    /// Asserts that a request was refused in the envelope, and that the log names what is at fault.
    async fn check(&self, answer: &Answer, status: u16, words: &str, logged: &[&str]) {
        assert_eq!(answer.status, status, "{}\n{:?}", answer.text(), self.0.log().lines().last());
        let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(words), "`{message}` should say `{words}`");
        assert!(!message.contains("d1/"), "`{message}` names a file of the server");
        let log = self.0.log();
        let is_named = |line: &String| logged.iter().all(|text| line.contains(text));
        wait_until(&format!("a log line with {logged:?}"), SOON, || log.lines().iter().any(is_named)).await;
    }
}

/// Takes all that is left of a disk.
fn fill(disk: &Disk) -> PathBuf {
    let path = disk.path().join("filling");
    let mut file = fs::File::create(&path).expect("make a file");
    for size in [64 * 1024, 512] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[tokio::test]
async fn d1_on_a_full_disk_loses_nothing_and_heals_without_a_restart() {
    let Some(disk) = Disk::sized("D1 on a full disk", 80) else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 64 * MIB]).expect("keep a part of the disk");
    let databases = Databases::start(&disk.folder).await;
    databases.create("main").await;
    for name in ["neighbour", "cold"] {
        databases.create(name).await;
        databases.rows(name, "INSERT INTO t (a) VALUES (7)").await;
    }
    databases.0.stop().await;
    let databases = Databases::start(&disk.folder).await;
    databases.rows("neighbour", "INSERT INTO t (a) VALUES (8)").await;

    let mut bookmarks = vec![databases.bookmark("main").await];
    let refusal = loop {
        let answer = databases.query("main", "INSERT INTO t (filler) VALUES (randomblob(300000))").await;
        if answer.status != 200 {
            break answer;
        }
        bookmarks.push(databases.bookmark("main").await);
        assert!(bookmarks.len() < 100, "the disk never fills");
    };
    databases
        .check(&refusal, 507, "D1 DB storage: the server's disk is full", &["the disk is full", "db.sqlite"])
        .await;
    let acknowledged = bookmarks.len() as u64 - 1;
    assert!(4 < acknowledged, "{acknowledged}");
    let filling = fill(&disk);
    let much = "INSERT INTO t (filler) SELECT randomblob(1000000) FROM t AS a, t AS b LIMIT 30";
    databases.check(&databases.query("main", much).await, 507, "disk is full", &[]).await;
    assert_eq!((databases.count("main").await, databases.count("neighbour").await), (acknowledged, 2));
    assert_eq!(databases.count("cold").await, 1, "one that was closed is opened");

    // Long work is refused as well, and leaves nothing.
    let (uploaded, _) = d1::upload(&databases.0, "main", &" ".repeat(MIB)).await.expect(RUNS);
    databases.check(&uploaded, 507, "disk is full", &["transfers/"]).await;
    let exported = d1::export(&databases.0, "main").await.expect(RUNS);
    assert_eq!(exported["status"], "error", "{exported}");
    assert!(exported["error"].to_string().contains("disk is full"), "{exported}");
    let backup = d1::call(&databases.0, Method::GET, "main/backup", Value::Null).await.expect(RUNS);
    databases.check(&backup, 507, "disk is full", &[]).await;
    databases.check(&databases.restore("main", &bookmarks[2]).await, 507, "disk is full", &[]).await;
    assert_eq!(d1::transfers(&databases.0), 0);
    assert_eq!(databases.bookmark("main").await, bookmarks[bookmarks.len() - 1]);
    let archive_failures = |databases: &Databases| {
        let lines = databases.0.log().lines();
        lines.iter().filter(|line| line.contains("A database's log cannot be archived")).count()
    };
    assert!(archive_failures(&databases) <= 1, "it is said once");

    // With room again all goes on; and every commit is a state that can be had, whatever the history missed meanwhile.
    fs::remove_file(&filling).expect("make room");
    fs::remove_file(&ballast).expect("make room");
    databases.rows("main", "INSERT INTO t (filler) VALUES (randomblob(300000))").await;
    assert_eq!(d1::export(&databases.0, "neighbour").await.expect(RUNS)["status"], "complete");
    let databases = {
        databases.0.stop().await;
        Databases::start(&disk.folder).await
    };
    assert_eq!(d1::transfers(&databases.0), 0);
    assert_eq!(databases.count("main").await, acknowledged + 1);
    for number in [0, 3, acknowledged] {
        let at = usize::try_from(number).expect("a few");
        let _ = databases.restore("main", &bookmarks[at]).await.expect(200);
        assert_eq!(databases.count("main").await, number);
    }
    assert_eq!(databases.rows("main", "PRAGMA quick_check").await[0]["quick_check"], "ok");
    databases.0.stop().await;
}

#[tokio::test]
async fn a_database_in_a_read_only_folder_says_so_and_heals_without_a_restart() {
    let Some(disk) = Disk::new("D1 in a read-only folder") else { return };
    let databases = Databases::start(&disk.folder).await;
    let folder = databases.create("main").await;
    databases.create("neighbour").await;
    databases.rows("main", "INSERT INTO t (a) VALUES (1)").await;
    // The kernel takes no files from under a writer: it is closed before.
    databases.0.stop().await;
    let databases = Databases::start(&disk.folder).await;
    run(command("mount").arg("--bind").arg(&folder).arg(&folder)).expect("mount the folder upon itself");
    run(command("mount").args(["-o", "remount,ro,bind"]).arg(&folder)).expect("make it read-only");

    let refusal = databases.query("main", "INSERT INTO t (a) VALUES (2)").await;
    let logged = ["it is read-only", folder.to_str().expect("text")];
    databases.check(&refusal, 503, "D1 DB storage: the server's disk is read-only", &logged).await;
    databases.rows("neighbour", "INSERT INTO t (a) VALUES (1)").await;

    run(command("umount").arg(&folder)).expect("make it writable again");
    databases.rows("main", "INSERT INTO t (a) VALUES (2)").await;
    assert_eq!(databases.count("main").await, 2);
    databases.0.stop().await;
}

#[tokio::test]
async fn a_history_that_cannot_be_written_loses_no_commit_and_is_told_of() {
    let Some(disk) = Disk::sized("D1 with a read-only history", 100) else { return };
    let databases = Databases::start(&disk.folder).await;
    // It has no segment yet: one that is open would still be written.
    let history = databases.create("main").await.join("history");
    run(command("mount").arg("--bind").arg(&history).arg(&history)).expect("mount the folder upon itself");
    run(command("mount").args(["-o", "remount,ro,bind"]).arg(&history)).expect("make it read-only");
    let mut bookmarks = vec![databases.bookmark("main").await];
    for _ in 0..6 {
        let fill = "INSERT INTO t (filler) SELECT zeroblob(500000) FROM json_each('[1,2,3,4]')";
        databases.rows("main", fill).await;
        bookmarks.push(databases.bookmark("main").await);
    }
    let log = databases.0.log();
    let told = log.wait_for("A database's log cannot be archived", SOON).await;
    assert!(told.contains("read-only") && told.contains(history.to_str().expect("text")), "{told}");
    // First at 1,000 frames, then whenever the log has doubled: there are about 3,000.
    let lines = log.lines();
    let told = lines.iter().filter(|line| line.contains("A database's log cannot be archived")).count();
    assert!((1..=2).contains(&told), "it was told {told} times");

    run(command("umount").arg(&history)).expect("make it writable again");
    databases.rows("main", "DELETE FROM t").await;
    for at in [6, 1, 4, 0] {
        let _ = databases.restore("main", &bookmarks[at]).await.expect(200);
        assert_eq!(databases.count("main").await, at as u64 * 4);
    }
    let databases = {
        databases.0.stop().await;
        Databases::start(&disk.folder).await
    };
    let _ = databases.restore("main", &bookmarks[5]).await.expect(200);
    assert_eq!(databases.count("main").await, 20);
    databases.0.stop().await;
}

#[tokio::test]
async fn damaged_files_of_one_database_are_named_and_harm_no_other() {
    const ALL: &str = "SELECT sum(length(filler)) AS n FROM t";
    let folder = Arc::new(DataFolder::new());
    let databases = Databases::start(&folder).await;
    let mut folders = Vec::new();
    for name in ["page", "head", "past", "sound"] {
        folders.push(databases.create(name).await);
        let fill = "INSERT INTO t (filler) SELECT randomblob(3000) FROM json_each('[1,2,3,4,5,6,7,8,9]') AS a, json_each('[1,2,3,4,5,6,7,8,9]') AS b";
        databases.rows(name, fill).await;
    }
    let (before, whole) = (databases.bookmark("past").await, databases.bookmark("page").await);
    databases.rows("past", "DELETE FROM t WHERE a = 1").await;
    databases.0.stop().await;
    // The first byte of a page says what it is. A page in the middle: it holds a few of the rows.
    flip(&folders[0].join("db.sqlite"), |bytes| bytes.len() / 2 / PAGE_BYTES * PAGE_BYTES);
    flip(&folders[1].join("db.sqlite"), |bytes| {
        contains(bytes, b"SQLite format 3").expect("its first words")
    });
    let segment = segment_of(&folders[2]);
    flip(&segment, |bytes| bytes.len() / 2);

    let databases = Databases::start(&folder).await;
    let path = |at: usize| folders[at].to_str().expect("text").to_owned();
    let words = "D1 DB storage: a file of the database cannot be read";
    databases.check(&databases.query("page", ALL).await, 500, words, &["damaged", &path(0)]).await;
    assert_eq!(databases.rows("page", "SELECT a FROM t WHERE a = 1").await, json!([{"a": 1}]));
    databases.check(&databases.query("head", "SELECT 1").await, 500, words, &["damaged", &path(1)]).await;
    assert_eq!(databases.rows("sound", ALL).await, json!([{"n": 81 * 3000}]));

    // Its past is as it was: a database whose file is damaged has a whole copy of itself there.
    let _ = databases.restore("page", &whole).await.expect(200);
    assert_eq!(databases.rows("page", ALL).await, json!([{"n": 81 * 3000}]));
    assert_eq!(databases.rows("page", "PRAGMA quick_check").await, json!([{"quick_check": "ok"}]));

    let refusal = databases.restore("past", &before).await;
    databases.check(&refusal, 500, words, &["damaged", segment.to_str().expect("text")]).await;
    databases.rows("past", "INSERT INTO t (filler) VALUES (randomblob(3000))").await;
    assert_eq!(databases.rows("past", ALL).await, json!([{"n": 81 * 3000}]));
    assert_eq!(d1::transfers(&databases.0), 0);
    // One that cannot be opened can be deleted.
    d1::ask(&databases.0, Method::DELETE, "head", Value::Null).await.expect(RUNS);
    assert!(!folders[1].exists());
    databases.0.stop().await;
}

/// The one segment of a database's history.
fn segment_of(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("history")).expect("list the history");
    let mut paths = files.map(|file| file.expect("an entry").path());
    paths.find(|path| path.extension().is_some_and(|kind| kind == "seg")).expect("a segment")
}
