//! D1 when the server is killed at any moment of an import, an export or a restore: the next one finds the database as it
//! was before or as it was to be, nothing of the files that served it, and tells those who ask for it that there is none.

use std::{fs, path::Path, time::Duration};

use http::Method;
use rustix::process::Signal;
use serde_json::json;
use testkit::Server;

use crate::{d1, support::Random};

/// Kills of each kind of work.
const ROUNDS: usize = 4;
const SEED: u64 = 0x5eed_d1d1;

/// Rows that an import adds, and that are there to be exported and restored.
const ROWS: u64 = 5_000;

const ALL: &str = "SELECT count(*) AS n, coalesce(sum(length(filler)), 0) AS bytes FROM t";

#[tokio::test]
async fn a_kill_during_long_work_leaves_a_database_whole_and_no_files() {
    let mut random = Random::seeded(SEED);
    let mut server = Server::start().await;
    let folder = d1::make(&server, "main").await;
    d1::query(&server, "main", "CREATE TABLE t (a INTEGER PRIMARY KEY, filler TEXT)").await;
    let empty = d1::bookmark(&server, "main").await.expect("it runs");
    let insert = format!("INSERT INTO t (filler) VALUES ('{}');\n", "x".repeat(500));
    let script = insert.repeat(usize::try_from(ROWS).expect("a few"));
    assert_eq!(d1::import(&server, "main", &script).await.expect("it runs")["status"], "complete");
    let full = d1::bookmark(&server, "main").await.expect("it runs");

    for work in [Work::Import, Work::Export, Work::Restore].repeat(ROUNDS) {
        let [old, new] = work.rows();
        let before = if old == 0 { &empty } else { &full };
        let _ = d1::restore(&server, "main", before).await.expect("it runs").expect(200);
        let began = d1::bookmark(&server, "main").await.expect("it runs");
        let moment = Duration::from_millis(random.below(work.takes_ms()));
        let working = async {
            match work {
                Work::Import => d1::import(&server, "main", &script).await.is_some(),
                Work::Export => d1::export(&server, "main").await.is_some(),
                Work::Restore => d1::restore(&server, "main", &empty).await.is_some(),
            }
        };
        let kill = async {
            tokio::time::sleep(moment).await;
            server.signal(Signal::KILL);
        };
        let (is_acknowledged, ()) = tokio::join!(working, kill);
        let data = server.kill().await;
        server = Server::builder().folder(&data).start().await;

        let found = d1::rows(&server, "main", ALL).await[0].clone();
        let is = |rows: u64| found == json!({"n": rows, "bytes": rows * 500});
        assert!(is(new) || (is(old) && !is_acknowledged), "{work:?}: {found} after {moment:?}");
        let check = d1::rows(&server, "main", "PRAGMA quick_check").await;
        assert_eq!(check, json!([{"quick_check": "ok"}]), "{work:?} after {moment:?}");
        assert_eq!(d1::transfers(&server), 0, "{work:?} after {moment:?}");
        assert_eq!(strangers(&folder), Vec::<String>::new(), "{work:?} after {moment:?}");
        for (path, words) in [("main/import", "importing"), ("main/export", "exporting")] {
            let poll = json!({"action": "poll", "output_format": "polling", "current_bookmark": began});
            let told = d1::ask(&server, Method::POST, path, poll).await.expect("it runs");
            assert_eq!(told["success"], false, "{told}");
            assert_eq!(told["error"], format!("Not currently {words} anything."));
        }
    }
    server.stop().await;
}

/// What is under way when the server is killed.
#[derive(Debug, Clone, Copy)]
enum Work {
    Import,
    Export,
    Restore,
}

impl Work {
    /// The rows before and after.
    fn rows(self) -> [u64; 2] {
        match self {
            Self::Import => [0, ROWS],
            Self::Export => [ROWS, ROWS],
            Self::Restore => [ROWS, 0],
        }
    }

    /// How long it takes here, about.
    fn takes_ms(self) -> u64 {
        match self {
            Self::Import => 700,
            Self::Export | Self::Restore => 60,
        }
    }
}

/// Files in a database's folder that are none of its own.
fn strangers(folder: &Path) -> Vec<String> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list the files");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let is_ours = |name: &String| ["db.sqlite", "db.sqlite-wal", "history"].contains(&name.as_str());
    let is_of_history =
        |name: &String| name == "moments" || name.ends_with(".seg") || name.ends_with(".base");
    let history = names(&folder.join("history")).into_iter().filter(|name| !is_of_history(name));
    names(folder).into_iter().filter(|name| !is_ours(name)).chain(history).collect()
}
