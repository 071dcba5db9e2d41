//! kill -9 while writing: whatever was acknowledged is there afterwards.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use crate::{ids, open, put};

/// Names the file to the child: this same test program, told to run `child` alone.
const CHILD_FILE: &str = "STORE_TEST_CHILD_FILE";

#[test]
#[expect(clippy::disallowed_methods, reason = "a process of our own that can be killed")]
fn no_acknowledged_write_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(CHILD_FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The full stop tells a whole line from one that was torn by the kill.
        let acknowledged =
            |line: String| line.strip_prefix("acknowledged ")?.strip_suffix('.')?.parse::<i64>().ok();
        let count = 200 + round * 77;
        let mut seen: Vec<i64> = lines.by_ref().filter_map(acknowledged).take(count).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too.
        seen.extend(lines.filter_map(acknowledged));
        assert!(count <= seen.len(), "the child ended by itself");

        let kept = ids(&open(&path));
        let missing: Vec<_> = seen.iter().filter(|id| kept.binary_search(id).is_err()).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?} of {} acknowledged are gone", seen.len());
    }
}

/// Not a test by itself: writes from eight tasks until it is killed, and prints each acknowledged id.
#[test]
#[expect(clippy::disallowed_methods, reason = "the parent has no other way to name the file")]
fn child() {
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let database = open(path.as_ref());
        let next = ids(&database).last().map_or(0, |last| last + 1);
        let writers = (0..8).map(|writer| {
            let database = database.clone();
            tokio::spawn(async move {
                for turn in 0.. {
                    let id = next + turn * 8 + writer;
                    put(&database, id).await.unwrap();
                    let line = format!("acknowledged {id}.\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        futures_util::future::join_all(writers).await;
    });
}
