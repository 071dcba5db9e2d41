//! Crashes at every fault point of what D1 does in several steps: a transaction, a restore, an import, an export. The next start
//! has the old state or the new one, whole, and the new one if it was acknowledged; the database takes writes again.

use std::{fs, sync::Arc};

use serde_json::Value;
use testkit::{DataFolder, Server};

use crate::{d1, support::SOON};

/// More points than any change has.
const PASSAGES_MAX: u32 = 20;

const SETUP: &str = "CREATE TABLE t (a INTEGER PRIMARY KEY, filler BLOB); INSERT INTO t (filler) VALUES (randomblob(9000)), (NULL)";

/// What is imported.
const IMPORT: &str = "CREATE TABLE imported (a);\nINSERT INTO imported VALUES (1), (2);\n";

/// What the tables hold.
const LOOK: &str = "SELECT (SELECT count(*) FROM t) AS rows, \
     (SELECT count(*) FROM sqlite_master WHERE name = 'imported') AS imported";

/// A server with one database, named by a number so that each round has its own.
struct Stage {
    folder: Arc<DataFolder>,
    server: Option<Server>,
}

impl Stage {
    async fn open() -> Self {
        let mut stage = Self { folder: Arc::new(DataFolder::new()), server: None };
        stage.start().await;
        stage
    }

    async fn start(&mut self) {
        let builder = Server::builder().folder(&self.folder);
        let fault = self.fault_file();
        self.server = Some(builder.env("SKERRY_FAULT_FILE", fault.to_str().expect("text")).start().await);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn fault_file(&self) -> std::path::PathBuf {
        self.folder.path().join("fault")
    }

    /// Makes a change again and again, with the crash one passage later, until it comes to its end. `change` says whether it
    /// was acknowledged.
    async fn walk(&mut self, what: &str, change: impl AsyncFn(&Server, &str) -> bool, [old, new]: [&str; 2]) {
        for round in 1..PASSAGES_MAX {
            let name = format!("{what}-{round}");
            make(self.server(), &name).await;
            let before = look(self.server(), &name).await;
            fs::write(self.fault_file(), round.to_string()).expect("arm the fault");
            let is_acknowledged = change(self.server(), &name).await;
            let is_through = fs::remove_file(self.fault_file()).is_ok();
            let mut point = "none".to_owned();
            if !is_through {
                let crashed = self.server.take().expect("it ran");
                let line = crashed.log().wait_for("fault point `", SOON).await;
                point = line.split('`').nth(1).expect("the point's name").to_owned();
                crashed.kill().await;
                self.start().await;
            }
            let now = look(self.server(), &name).await;
            assert_eq!(before, old);
            assert!(
                now == new || (now == old && !is_acknowledged),
                "{what}: `{now}` after a crash at `{point}`"
            );
            let checked =
                d1::query(self.server(), &name, "PRAGMA quick_check; INSERT INTO t (filler) VALUES (NULL)")
                    .await;
            assert_eq!(checked[0]["results"][0]["quick_check"], "ok", "{what}: after a crash at `{point}`");
            if is_through {
                assert!(is_acknowledged && 1 < round, "{what} passes no point");
                return;
            }
        }
        panic!("{what} did not come to its end after {PASSAGES_MAX} crashes");
    }
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_a_database_whole_and_what_was_acknowledged_in_it() {
    let mut stage = Stage::open().await;
    let write = async |server: &Server, name: &str| {
        let sql = "INSERT INTO t (filler) VALUES (NULL); DELETE FROM t WHERE filler IS NOT NULL; DELETE FROM t WHERE a = 2";
        d1::try_query(server, name, sql).await.is_some_and(|answer| answer.expect(200).status == 200)
    };
    stage.walk("write", write, ["2 0", "1 0"]).await;
    let restore = async |server: &Server, name: &str| {
        let Some(bookmark) = bookmark_before(server, name).await else { return false };
        d1::restore(server, name, &bookmark).await.is_some_and(|answer| answer.expect(200).status == 200)
    };
    stage.walk("restore", restore, ["2 0", "0 0"]).await;
    let import = async |server: &Server, name: &str| is_complete(d1::import(server, name, IMPORT).await);
    stage.walk("import", import, ["2 0", "2 1"]).await;
    let export = async |server: &Server, name: &str| is_complete(d1::export(server, name).await);
    stage.walk("export", export, ["2 0", "2 0"]).await;
    stage.server.expect("it runs").stop().await;
}

/// A database with a table that is filled in a commit of its own.
async fn make(server: &Server, name: &str) {
    d1::make(server, name).await;
    let (create, insert) = SETUP.split_once("; ").expect("two statements");
    d1::query(server, name, create).await;
    d1::query(server, name, insert).await;
}

/// The bookmark of the state with an empty table: the newest but one.
async fn bookmark_before(server: &Server, name: &str) -> Option<String> {
    Some(d1::bookmark(server, name).await?.replacen("00000000-00000002", "00000000-00000001", 1))
}

/// Whether what was polled for is known to have come to its end.
fn is_complete(told: Option<Value>) -> bool {
    told.is_some_and(|told| {
        assert_eq!(told["status"], "complete", "{told}");
        true
    })
}

async fn look(server: &Server, name: &str) -> String {
    let row = d1::rows(server, name, LOOK).await[0].clone();
    format!("{} {}", row["rows"], row["imported"])
}
