//! One SQLite file: a single writer with group commit, and readers.

use std::path::Path;

pub use rusqlite::Connection;

/// One step of a file's history, applied once and never edited after a release.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Dated name, for example `2026-11-21-init`.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Read connections kept open.
    pub readers: usize,
}

/// What can go wrong below a room's own rules.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("{0}")]
    Sqlite(String),
    /// The writer has ended: the server is stopping.
    #[error("the database is closed")]
    Closed,
}

/// A SQLite file; cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {}

impl Database {
    /// Opens (and creates) the file and brings it to the newest migration.
    pub fn open(_path: &Path, _migrations: &[Migration], _options: Options) -> Result<Self, StoreError> {
        todo!()
    }

    /// Runs `work` in the writer's transaction and returns once its commit is on disk. An error undoes this work alone.
    pub async fn write<T, E>(
        &self,
        _work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        todo!()
    }

    /// Runs `work` on a read connection, on a thread that may block: for lists and large values.
    pub async fn read<T, E>(
        &self,
        _work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        todo!()
    }

    /// Runs `work` on a read connection on the calling thread: for point reads by key that take microseconds.
    pub fn read_now<T, E>(&self, _work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        todo!()
    }
}
