//! Read connections, kept open with their statements prepared.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::{
    StoreError,
    database::{VFS, configure},
    error::working_on,
};

/// Prepared statements that a connection keeps; more than any room has.
pub(crate) const STATEMENTS_CACHED_MAX: usize = 64;

/// The read connections of one file. Slow reads are bounded by permits; quick ones by the number of threads, for each
/// holds its thread until it is done.
#[derive(Debug)]
pub(crate) struct Readers {
    file: Arc<Path>,
    idle: Mutex<Vec<Connection>>,
    idle_max: usize,
    /// One for each slow read under way; closed with the database.
    pub(crate) permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(file: Arc<Path>, idle_max: usize) -> Self {
        let idle = Mutex::new(Vec::with_capacity(idle_max));
        Self { file, idle, idle_max, permits: Arc::new(Semaphore::new(idle_max)) }
    }

    /// Runs `work` on a connection, here and now.
    pub(crate) fn run<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.permits.is_closed() {
            return Err(StoreError::Closed.into());
        }
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open(&self.file)?,
        };
        let (result, _) = working_on(&self.file, || work(&connection));
        // A connection whose work panicked is not kept.
        let mut idle = self.idle();
        if idle.len() < self.idle_max && !self.permits.is_closed() {
            idle.push(connection);
        }
        result
    }

    /// Refuses further reads and closes the connections.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing in the critical sections can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(file: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(file, flags, VFS)?;
        configure(&connection)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| StoreError::sqlite("open a reader of", file, &error))
}
