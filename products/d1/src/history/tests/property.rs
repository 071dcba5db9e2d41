//! Any history of commits, checkpoints, readers, ends, bases and drops leaves every kept commit restorable as it was.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use store::rusqlite::Connection;

use super::*;

const TABLES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Drop(usize),
    Index(usize),
    Insert {
        table: usize,
        rows: usize,
        bytes: usize,
    },
    Update {
        table: usize,
        every: usize,
        bytes: usize,
    },
    Delete {
        table: usize,
        every: usize,
    },
    Vacuum,
    /// A statement that fails after it has written more than the cache holds.
    Fail(usize),
    Checkpoint(How),
    /// A reader begins, and the one before ends.
    Read,
    Wait(u64),
    Tidy,
    Reopen,
    Close,
    /// To one of the kept commits.
    Restore(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let table = || 0..TABLES;
    let how = prop_oneof![4 => Just(How::Passive), 1 => Just(How::Restart), 1 => Just(How::Truncate)];
    let bytes = || prop_oneof![3 => 0_usize..200, 1 => 200_usize..9_000, 1 => Just(100_000_usize)];
    let step = prop_oneof![
        2 => table().prop_map(Step::Create),
        1 => table().prop_map(Step::Drop),
        1 => table().prop_map(Step::Index),
        12 => (table(), 1_usize..30, bytes())
            .prop_map(|(table, rows, bytes)| Step::Insert { table, rows, bytes }),
        4 => (table(), 1_usize..9, bytes())
            .prop_map(|(table, every, bytes)| Step::Update { table, every, bytes: bytes.min(9_000) }),
        3 => (table(), 1_usize..4).prop_map(|(table, every)| Step::Delete { table, every }),
        1 => Just(Step::Vacuum),
        1 => table().prop_map(Step::Fail),
        8 => how.prop_map(Step::Checkpoint),
        2 => Just(Step::Read),
        2 => (1_u64..40_000).prop_map(Step::Wait),
        3 => Just(Step::Tidy),
        2 => Just(Step::Reopen),
        1 => Just(Step::Close),
        1 => any::<prop::sample::Index>().prop_map(Step::Restore),
    ];
    prop::collection::vec(step, 10..80)
}

/// The room, and what each commit left.
struct World {
    room: Option<Room>,
    reader: Option<Connection>,
    /// Picture and moment after each commit, from the empty database on.
    commits: Vec<(u64, u64)>,
    seed: u64,
}

impl World {
    fn room(&self) -> &Room {
        self.room.as_ref().unwrap()
    }

    fn have_committed(&mut self, sequence: Option<Sequence>) {
        let Some(sequence) = sequence else { return };
        assert_eq!(sequence, Sequence(self.commits.len() as u64), "numbers go up by one");
        self.commits.push((self.room().picture(), self.room().clock.unix_ms()));
    }

    /// SQL that may fail, since its table may not be there.
    fn run(&mut self, sql: &str) {
        let _ = self.room().writer.execute_batch(sql);
        let told = self.room().tell();
        self.have_committed(told);
    }

    fn run_step(&mut self, step: &Step) {
        self.seed += 1;
        let seed = self.seed;
        match *step {
            Step::Create(table) => self.run(&format!("CREATE TABLE t{table} (a, b)")),
            Step::Drop(table) => self.run(&format!("DROP TABLE t{table}")),
            Step::Index(table) => self.run(&format!("CREATE INDEX i{table} ON t{table} (a, b)")),
            Step::Insert { table, rows, bytes } => self.run(&format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
                 INSERT INTO t{table} SELECT i * {seed} % 101, zeroblob({bytes}) || hex(i + {seed}) FROM n",
                if bytes == 100_000 { 1 } else { rows }
            )),
            Step::Update { table, every, bytes } => self.run(&format!(
                "UPDATE t{table} SET b = hex(zeroblob({bytes}) || a || {seed}) WHERE rowid % {every} = 0"
            )),
            Step::Delete { table, every } => {
                self.run(&format!("DELETE FROM t{table} WHERE rowid % {every} = 0"));
            }
            Step::Vacuum => self.run("VACUUM"),
            Step::Fail(table) => {
                self.run(&format!(
                    "PRAGMA cache_size = 2; BEGIN; UPDATE t{table} SET a = a + 1, b = 'spilt'; ROLLBACK;
                     PRAGMA cache_size = -2000"
                ));
                let _ = self.room().writer.execute_batch("ROLLBACK");
            }
            Step::Checkpoint(how) => {
                if how != How::Passive {
                    self.reader = None;
                }
                let is_whole = self.room().history.checkpoint(how).unwrap();
                assert!(is_whole || self.reader.is_some());
            }
            Step::Read => {
                let reader = connect(&self.room().folder.join("db.sqlite"));
                reader.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema").unwrap();
                self.reader = Some(reader);
            }
            Step::Wait(ms) => self.room().clock.advance(Duration::from_millis(ms)),
            Step::Tidy => self.room().history.tidy().unwrap(),
            Step::Reopen | Step::Close => {
                self.reader = None;
                if matches!(step, Step::Close) {
                    assert!(self.room().history.checkpoint(How::Truncate).unwrap());
                }
                let picture = self.room().picture();
                let room = self.room.take().unwrap().reopen();
                assert_eq!(room.picture(), picture);
                self.room = Some(room);
            }
            Step::Restore(index) => {
                let oldest = self.room().history.oldest().0;
                let kept = self.commits.len() as u64 - oldest;
                let sequence = Sequence(oldest + index.index(usize::try_from(kept).unwrap()) as u64);
                // The backup writes whole pages of one size; the empty file has none.
                if sequence.0 != 0 {
                    let told = self.room.as_mut().unwrap().restore(sequence);
                    self.have_committed(told);
                    let restored = self.commits[usize::try_from(sequence.0).unwrap()].0;
                    assert_eq!(self.room().picture(), restored);
                }
            }
        }
    }

    /// Every kept commit, or a few of many, is what it was.
    fn check(&self) {
        let history = &self.room().history;
        let (oldest, newest) = (history.oldest().0, history.newest().0);
        assert_eq!(newest + 1, self.commits.len() as u64);
        let stride = ((newest - oldest) / 12).max(1);
        for sequence in (oldest..=newest).rev().step_by(usize::try_from(stride).unwrap()).chain([oldest]) {
            let (picture, moment_ms) = self.commits[usize::try_from(sequence).unwrap()];
            assert_eq!(self.room().picture_at(Sequence(sequence)), picture, "commit {sequence} of {newest}");
            if sequence == 0 {
                continue;
            }
            let made_ms = history.moment(Sequence(sequence)).unwrap().unwrap();
            assert!(made_ms <= moment_ms && moment_ms < made_ms + 100, "moment of commit {sequence}");
            let last_then = self.commits.iter().rposition(|(_, ms)| *ms <= made_ms).unwrap() as u64;
            let found = history.at(made_ms).unwrap().unwrap().0;
            assert!(last_then <= found, "the last commit at {made_ms}: {found}, not before {last_then}");
            assert!(history.moment(Sequence(found)).unwrap().unwrap() <= made_ms);
        }
    }
}

#[test]
fn any_history_of_commits_restored_at_any_kept_commit_is_the_state_then() {
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let limits = prop_oneof![
        2 => Just(Limits { keep: Duration::from_secs(60), ..small() }),
        1 => Just(Limits { bytes_max: 200 << 10, ..small() }),
    ];
    runner
        .run(&(limits, steps()), |(limits, steps)| {
            let folder = folder();
            let room = Room::open(folder.path(), limits, &Clock::manual(NOW_MS));
            let empty = room.picture();
            let mut world = World { room: Some(room), reader: None, commits: vec![(empty, 0)], seed: 0 };
            world.run_step(&Step::Create(0));
            for step in &steps {
                world.run_step(step);
            }
            world.check();
            world.run_step(&Step::Reopen);
            world.check();
            Ok(())
        })
        .unwrap();
}
