//! A history under a real SQLite database, driven as the room drives it: one writing connection, a hook that tells of each
//! commit, and no checkpoint but the history's.

pub(in crate::history) mod crash;
mod promises;
mod property;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use store::rusqlite::{Connection, backup::Backup, config::DbConfig, types::ValueRef};
use tasks::Clock;

use super::{History, How, Limits, Sequence};

const NOW_MS: u64 = 1_790_000_000_000;

/// Small enough that a few commits fill segments and want bases.
fn small() -> Limits {
    Limits { segment_bytes: 8 << 10, base_after_bytes: 24 << 10, ..Limits::default() }
}

/// In memory where there is such a place: what a sync does to a real disk is waited for, and not looked at.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// One database, as the room holds it.
struct Room {
    folder: PathBuf,
    clock: Clock,
    limits: Limits,
    history: History,
    writer: Connection,
    /// The log's frames after a commit; 0 while there was none.
    frames: Arc<AtomicU32>,
}

impl Room {
    fn open(folder: &Path, limits: Limits, clock: &Clock) -> Self {
        let database = folder.join("db.sqlite");
        let (mut writer, frames) = (connect(&database), Arc::new(AtomicU32::new(0)));
        let told = Arc::clone(&frames);
        let hook = move |_: &mut store::rusqlite::hooks::Wal, pages: i32| {
            told.store(u32::try_from(pages).unwrap(), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).unwrap();
        let history =
            History::open(&folder.join("history"), &database, limits.clone(), clock.clone()).unwrap();
        Self { folder: folder.to_owned(), clock: clock.clone(), limits, history, writer, frames }
    }

    /// Ends without a word, as a crash does, and begins again.
    fn reopen(self) -> Self {
        let Self { folder, clock, limits, history, writer, frames: _ } = self;
        drop((history, writer));
        Self::open(&folder, limits, &clock)
    }

    /// Runs a statement as one transaction; tells of its commit if it changed anything.
    fn execute(&self, sql: &str) -> Option<Sequence> {
        self.writer.execute_batch(sql).unwrap();
        self.tell()
    }

    fn tell(&self) -> Option<Sequence> {
        let frames = self.frames.swap(0, Ordering::Relaxed);
        (frames != 0).then(|| self.history.committed(frames))
    }

    /// Makes the database what it was after a commit, as one commit.
    fn restore(&mut self, sequence: Sequence) -> Option<Sequence> {
        let file = self.folder.join("restore.sqlite");
        self.history.materialise(sequence, &file).unwrap();
        let then = Connection::open(&file).unwrap();
        Backup::new(&then, &mut self.writer).unwrap().step(-1).unwrap();
        // SQLite calls the hook when a statement has run to its end, and a backup is none.
        self.execute("SELECT 1 WHERE 0")
    }

    /// What the database holds now.
    fn picture(&self) -> u64 {
        picture(&self.writer)
    }

    /// What it held after a commit, by the history; SQLite must find the file whole.
    fn picture_at(&self, sequence: Sequence) -> u64 {
        let file = self.folder.join("then.sqlite");
        self.history.materialise(sequence, &file).unwrap();
        picture_of_file(&file)
    }
}

fn connect(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection
}

fn picture_of_file(file: &Path) -> u64 {
    let then = Connection::open(file).unwrap();
    let verdict: String = then.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    picture(&then)
}

/// All rows of all tables, and what the schema says.
fn picture(connection: &Connection) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut list = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let schema: Vec<(String, String, Option<String>)> = list
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    schema.hash(&mut hasher);
    for (_, table, _) in schema.iter().filter(|(kind, ..)| kind == "table") {
        let mut rows =
            connection.prepare(&format!("SELECT rowid, * FROM \"{table}\" ORDER BY rowid")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => 0.hash(&mut hasher),
                    ValueRef::Integer(integer) => integer.hash(&mut hasher),
                    ValueRef::Real(real) => real.to_bits().hash(&mut hasher),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => crc32fast::hash(bytes).hash(&mut hasher),
                }
            }
        }
    }
    hasher.finish()
}
