//! The one thread that writes a file: it takes the jobs that wait, runs each in a savepoint of its own, commits them
//! together with one sync, and only then answers. Checkpoints are left to `checkpoint`, save for the backstop.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    StoreError,
    checkpoint::{self, Checkpointer, WAL_PAGES_HIGH},
    error::{Failure, working_on},
    fault,
};

/// Jobs that may wait for the writer before callers wait for room; the values themselves are bounded at the doors.
pub(crate) const JOBS_WAITING_MAX: usize = 1024;

/// Jobs of one commit: more would make the first wait long for the last.
const JOBS_PER_COMMIT_MAX: usize = 256;

/// How long a commit waits for a process that is not ours and holds the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the backstop waits for readers before it gives up until the log has grown again.
const BACKSTOP_TIMEOUT: Duration = Duration::from_millis(100);

/// What the writer is told.
pub(crate) enum Message {
    /// Do this.
    Job(Box<dyn Job>),
    /// Take no more jobs, do those that wait, and end.
    Close,
}

/// One caller's work with its types hidden, so that one queue holds all.
pub(crate) trait Job: Send {
    /// Does the work; says whether its changes are to be kept.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells the caller, once it is known whether the commit is on disk. A caller that went away is no matter.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job, and where its caller waits.
pub(crate) struct Work<F, T, E> {
    work: Option<F>,
    outcome: Option<Outcome<T, E>>,
    caller: oneshot::Sender<Outcome<T, E>>,
}

/// What a job came to; a panic is carried to the caller, whose it is.
pub(crate) type Outcome<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

impl<F, T, E> Work<F, T, E> {
    pub(crate) fn new(work: F) -> (Self, oneshot::Receiver<Outcome<T, E>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work: Some(work), outcome: None, caller }, answer)
    }
}

impl<F, T, E> Job for Work<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let is_kept = matches!(outcome, Ok(Ok(_)));
        self.outcome = Some(outcome);
        is_kept
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            // What failed by itself says why; what succeeded, or never ran, stands and falls with the commit.
            (Some(outcome @ (Ok(Err(_)) | Err(_))), _) | (Some(outcome), Ok(())) => outcome,
            (_, Err(error)) => Ok(Err(error.into())),
            (None, Ok(())) => Ok(Err(StoreError::Closed.into())),
        };
        let _ = self.caller.send(outcome);
    }
}

/// The thread's state.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) file: Arc<Path>,
    pub(crate) jobs: mpsc::Receiver<Message>,
    /// Pages in the log after the last commit, as SQLite's hook reported them.
    pub(crate) wal_pages: Arc<AtomicU32>,
    pub(crate) checkpointer: Checkpointer,
    /// Dropped when the thread ends: that is how others see it.
    pub(crate) ended: watch::Sender<()>,
}

impl Writer {
    /// Works until told to close, or until nobody is left to tell it anything.
    pub(crate) fn run(mut self) {
        let mut backstop_at = WAL_PAGES_HIGH;
        while let Some(message) = self.jobs.blocking_recv() {
            match message {
                Message::Job(first) => self.commit_group(first),
                Message::Close => self.jobs.close(),
            }
            self.checkpointer.notice(self.wal_pages.load(Ordering::Relaxed));
            backstop_at = self.backstop(backstop_at);
        }
        // The checkpointer's connection closes before ours, so that ours is the last and removes the log.
        drop(self.checkpointer);
        if let Err(error) = checkpoint::run(&self.connection, "TRUNCATE") {
            tracing::warn!(file = %self.file.display(), %error, "The last checkpoint failed; the next start repeats it");
        }
        drop(self.connection);
        drop(self.ended);
    }

    fn commit_group(&mut self, first: Box<dyn Job>) {
        let mut done: Vec<Box<dyn Job>> = Vec::new();
        let jobs = &mut self.jobs;
        let next = || match jobs.try_recv() {
            Ok(Message::Job(job)) => Some(job),
            Ok(Message::Close) => {
                jobs.close();
                None
            }
            Err(_) => None,
        };
        let committed = run_group(&self.connection, &self.file, first, next, &mut done);
        if committed.is_err() && !self.connection.is_autocommit() {
            // Leaving the transaction cannot fail in a way that matters: what is not committed is not kept.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        for job in done {
            job.answer(committed.clone());
        }
    }

    /// Empties the log in the writer's own time when it has grown so far that the background no longer keeps up.
    /// Returns the size at which to try again.
    fn backstop(&self, backstop_at: u32) -> u32 {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        if pages < backstop_at {
            return if pages < WAL_PAGES_HIGH { WAL_PAGES_HIGH } else { backstop_at };
        }
        let outcome = self
            .connection
            .busy_timeout(BACKSTOP_TIMEOUT)
            .and_then(|()| self.checkpointer.run_now(&self.connection))
            .and_then(|is_whole| self.connection.busy_timeout(BUSY_TIMEOUT).map(|()| is_whole));
        if let Ok(true) = outcome { WAL_PAGES_HIGH } else { pages.saturating_add(WAL_PAGES_HIGH) }
    }
}

/// Runs jobs in one transaction and commits it; `done` receives every job taken, whatever happens.
fn run_group(
    connection: &Connection,
    file: &Arc<Path>,
    first: Box<dyn Job>,
    mut next: impl FnMut() -> Option<Box<dyn Job>>,
    done: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    let begun = execute(connection, "BEGIN IMMEDIATE")
        .map_err(|error| StoreError::sqlite("begin a transaction in", file, &error));
    let mut waiting = Some(first);
    while let Some(mut job) = waiting.take() {
        let ran = begun.clone().and_then(|()| run_alone(connection, file, job.as_mut()));
        done.push(job);
        ran?;
        waiting = if done.len() < JOBS_PER_COMMIT_MAX { next() } else { None };
    }
    fault::point("before commit");
    execute(connection, "COMMIT").map_err(|error| StoreError::sqlite("commit to", file, &error))?;
    fault::point("committed");
    Ok(())
}

/// Runs one job so that its failure undoes nothing but itself. An error means that the whole transaction is lost.
fn run_alone(connection: &Connection, file: &Arc<Path>, job: &mut dyn Job) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite("write to", file, &error);
    execute(connection, "SAVEPOINT job").map_err(failed)?;
    let (is_kept, failure) = working_on(file, || job.run(connection));
    if connection.is_autocommit() {
        // SQLite itself gives up the whole transaction when the disk is full or fails.
        let cause = "SQLite gave up the transaction".to_owned();
        let unknown = StoreError::Sqlite(Failure { tried: "write to", file: file.to_path_buf(), cause });
        return Err(failure.unwrap_or(unknown));
    }
    if !is_kept {
        execute(connection, "ROLLBACK TO job").map_err(failed)?;
    }
    execute(connection, "RELEASE job").map_err(failed)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
