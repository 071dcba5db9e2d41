//! What can go wrong on the disk, sorted by what a person can do about it. What a room's own rules refuse is not here.

use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::ErrorCode;

/// What can go wrong below a room's own rules.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No space is left, or a quota is used up.
    #[error("{0}; the disk is full: free some space")]
    Full(Failure),
    /// The file or its disk takes no writes.
    #[error("{0}; it is read-only: make it writable")]
    ReadOnly(Failure),
    /// The file's content is damaged.
    #[error("{0}; the file is damaged: restore it from a backup")]
    Corrupt(Failure),
    /// A newer version of this program wrote the file.
    #[error("{0}; it was made by a newer version: run that version, or restore a backup from before it")]
    Newer(Failure),
    /// Anything else that SQLite says.
    #[error("{0}")]
    Sqlite(Failure),
    /// Anything else that the file system says.
    #[error("{0}")]
    File(Failure),
    /// The writer has ended: the server is stopping.
    #[error("the database is closed")]
    Closed,
}

/// What was tried, on which file, and what came of it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// A verb: `commit to`, `open` …
    pub tried: &'static str,
    /// The file; empty if it is not known.
    pub file: PathBuf,
    /// The cause, in its own words.
    pub cause: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "could not {} `{}`: {}", self.tried, self.file.display(), self.cause)
    }
}

impl StoreError {
    /// Sorts an error of SQLite.
    pub fn sqlite(tried: &'static str, file: &Path, error: &rusqlite::Error) -> Self {
        let failure = Failure { tried, file: file.to_owned(), cause: error.to_string() };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(failure),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(failure),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(failure),
            _ => Self::Sqlite(failure),
        }
    }

    /// Sorts an error of the file system.
    pub fn file(tried: &'static str, file: &Path, error: &io::Error) -> Self {
        let failure = Failure { tried, file: file.to_owned(), cause: error.to_string() };
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(failure),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(failure),
            _ => Self::File(failure),
        }
    }
}

thread_local! {
    /// The file that this thread works on, and the last failure there: rooms turn SQLite's errors into their own with
    /// `?`, which knows neither.
    static WORK: RefCell<Work> = RefCell::default();
}

#[derive(Default)]
struct Work {
    file: Option<Arc<Path>>,
    failure: Option<StoreError>,
}

/// Runs `work` so that errors of SQLite made in it name `file`. Returns the last of them too.
pub(crate) fn working_on<T>(file: &Arc<Path>, work: impl FnOnce() -> T) -> (T, Option<StoreError>) {
    let outer = WORK.replace(Work { file: Some(Arc::clone(file)), failure: None });
    let result = work();
    (result, WORK.replace(outer).failure)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        WORK.with_borrow_mut(|work| {
            let sorted = Self::sqlite("use", work.file.as_deref().unwrap_or_else(|| Path::new("")), &error);
            work.failure = Some(sorted.clone());
            sorted
        })
    }
}
