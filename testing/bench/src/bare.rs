//! The other side of a room: the same rows in a table, driven by a loop around rusqlite with the same durability, without
//! network, checks or anybody else.

use std::time::Duration;

use anyhow::Context as _;
use store::rusqlite::{Connection, params};
use testkit::DataFolder;

use crate::{
    load::now,
    room::{KEYS, VALUE_BYTES, WRITERS, key},
};

/// A table with the keys.
#[derive(Debug)]
pub(crate) struct Bare {
    connection: Connection,
    _folder: DataFolder,
}

impl Bare {
    /// Makes and fills it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = DataFolder::new();
        let connection = Connection::open(folder.path().join("bare.sqlite")).context("open a database")?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE entry (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
        )?;
        let bare = Self { connection, _folder: folder };
        for first in (0..KEYS).step_by(WRITERS) {
            bare.put_batch(first)?;
        }
        Ok(bare)
    }

    /// Reads the keys in turn for a while; reads a second.
    pub(crate) fn gets(&self, duration: Duration) -> anyhow::Result<f64> {
        let begun = now();
        let mut reads = 0;
        while begun.elapsed() < duration {
            let mut select = self.connection.prepare_cached("SELECT value FROM entry WHERE name = ?1")?;
            let value: Vec<u8> = select.query_row([key(reads % KEYS)], |row| row.get(0))?;
            anyhow::ensure!(value.len() == VALUE_BYTES, "a value of {} bytes was read", value.len());
            reads += 1;
        }
        Ok(reads as f64 / begun.elapsed().as_secs_f64())
    }

    /// Writes the keys in turn for a while, as many in a transaction as there are writers on the other side; writes a
    /// second.
    pub(crate) fn puts(&self, duration: Duration) -> anyhow::Result<f64> {
        let begun = now();
        let mut writes = 0;
        while begun.elapsed() < duration {
            self.put_batch(writes)?;
            writes += WRITERS;
        }
        Ok(writes as f64 / begun.elapsed().as_secs_f64())
    }

    fn put_batch(&self, first: usize) -> anyhow::Result<()> {
        let value = vec![b'v'; VALUE_BYTES];
        let transaction = self.connection.unchecked_transaction()?;
        for number in first..first + WRITERS {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO entry VALUES (?1, ?2)")?;
            insert.execute(params![key(number % KEYS), value])?;
        }
        transaction.commit().context("commit")
    }
}
