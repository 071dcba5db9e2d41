//! The connections that read one database beside its writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use store::{StoreError, rusqlite};
use tasks::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    D1Error,
    error::SqlError,
    model::QUERY_DURATION_MAX,
    sql::{self, Access, Allowance, Ending, Guard, Plans, Work, ours},
};

/// Reads of one database at once; further ones wait.
const READERS_MAX: usize = 4;

/// Readers that are kept while idle: each keeps its pages in memory.
const READERS_IDLE_MAX: usize = 2;

/// Reads that may wait for their turn.
const READS_WAITING_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Readers {
    file: Arc<Path>,
    clock: Clock,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Reader {
    connection: rusqlite::Connection,
    guard: Guard,
    plans: Plans,
}

impl Readers {
    pub(super) fn new(file: Arc<Path>, clock: Clock) -> Self {
        let permits = Arc::new(Semaphore::new(READERS_MAX));
        let waiting = Arc::new(Semaphore::new(READS_WAITING_MAX));
        Self { file, clock, idle: Mutex::default(), permits, waiting }
    }

    /// Waits for a turn. The permit ends it.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, D1Error> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_full| SqlError::Overloaded)?;
        let turn = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(QUERY_DURATION_MAX, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(StoreError::Closed.into()),
            Err(_late) => Err(SqlError::QueuedTooLong.into()),
        }
    }

    /// Runs a request that may only read.
    pub(super) fn run(&self, work: &Work, is_quick: bool, last_row: i64) -> Result<Ending, D1Error> {
        let idle = self.idle().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.open()?,
        };
        let ending = reader.run(work, is_quick, &self.clock, last_row);
        // One that could not be put back in order is not kept.
        if reader.guard.end(&reader.connection).is_ok() {
            let mut idle = self.idle();
            if idle.len() < READERS_IDLE_MAX {
                idle.push(reader);
            }
        }
        ending
    }

    fn open(&self) -> Result<Reader, StoreError> {
        let opened = sql::open(&self.file, Access::Read, self.clock.clone());
        let (connection, guard) =
            opened.map_err(|error| StoreError::sqlite("open a reader of", &self.file, &error))?;
        Ok(Reader { connection, guard, plans: Plans::default() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        // Nothing in the critical sections can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn run(&mut self, work: &Work, is_quick: bool, clock: &Clock, last_row: i64) -> Result<Ending, D1Error> {
        let Self { connection, guard, plans } = self;
        guard.begin(Allowance::REQUEST, is_quick, &work.caller);
        // Several statements see one state.
        let is_whole = 1 < work.queries.len();
        let run = |sql| guard.execute(connection, sql).map_err(|error| guard.explain(error));
        if is_whole {
            run(ours::BEGIN_READ)?;
        }
        let ending = sql::run(connection, guard, plans, work, clock, Some(last_row));
        if is_whole {
            run(ours::COMMIT)?;
        }
        Ok(ending?)
    }
}
