//! One open database: its writer, its readers, and which of them a request goes to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use store::{StoreError, rusqlite::Connection};
use tasks::Clock;
use tokio::sync::oneshot;

use super::{
    InUse,
    checkpoints::Checkpoints,
    gate::Gate,
    readers::Readers,
    syncs::{Answer, Progress},
    writer::{Job, Queue, Writer, lock},
};
use crate::{
    D1Error,
    error::SqlError,
    history::{History, Limits, Sequence},
    model::QUERY_DURATION_MAX,
    sql::{self, Access, Done, Elsewhere, Ending, Guard, Work},
};

/// The database's file in its folder.
pub(super) const FILE: &str = "db.sqlite";

/// A database's files, open.
pub(crate) struct OpenDatabase {
    inner: Arc<Inner>,
    readers: Arc<Readers>,
    gate: Gate,
    clock: Clock,
    /// Milliseconds since 1970 of the last request.
    used_ms: AtomicU64,
    restoring: tokio::sync::Mutex<()>,
}

struct Inner {
    file: Arc<Path>,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    progress: Arc<Progress>,
    history: Arc<History>,
    checkpoints: Arc<Checkpoints>,
}

impl std::fmt::Debug for OpenDatabase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenDatabase").field("file", &self.inner.file).finish_non_exhaustive()
    }
}

impl OpenDatabase {
    /// Opens the database of a folder, and makes both if they are not there. Blocks on the disk.
    pub(super) fn open(folder: &Path, limits: Limits, clock: &Clock) -> Result<Self, StoreError> {
        store::create_folder(folder)?;
        let file: Arc<Path> = folder.join(FILE).into();
        let writer = Writer::open(&file, folder, limits, clock.clone())?;
        store::sync_folder(folder)?;
        let readers = Arc::new(Readers::new(Arc::clone(&file), clock.clone()));
        let (progress, history) = (writer.progress(), writer.history());
        let checkpoints = Arc::new(Checkpoints::new(Arc::clone(&history))?);
        let (queue, writer) = (Mutex::default(), Mutex::new(writer));
        let inner = Inner { file, queue, writer, progress, history, checkpoints };
        let used_ms = AtomicU64::new(clock.unix_ms());
        let (clock, restoring) = (clock.clone(), tokio::sync::Mutex::default());
        Ok(Self { inner: Arc::new(inner), readers, gate: Gate::default(), clock, used_ms, restoring })
    }

    pub(super) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// Runs a request; returns its answer and the commit that it saw.
    pub(super) async fn query(&self, work: Work) -> Result<(Done, Sequence), D1Error> {
        self.used_ms.store(self.clock.unix_ms(), Ordering::Relaxed);
        let work = Arc::new(work);
        let _waiting = work.caller.waiting();
        if !begins_with_a_write(&work)
            && let Some(done) = self.read(&work).await?
        {
            return Ok((done, self.inner.history.newest()));
        }
        self.write(move |writer| writer.run(&work)).await
    }

    /// Runs a request on a reader; `None` if it wants to change something.
    async fn read(&self, work: &Arc<Work>) -> Result<Option<Done>, D1Error> {
        let _turn = self.readers.turn().await?;
        let last_row = self.inner.progress.last_row();
        let ending = match self.readers.run(work, true, last_row)? {
            Ending::Elsewhere(Elsewhere::SlowRead) => {
                let (readers, work) = (Arc::clone(&self.readers), Arc::clone(work));
                blocking(move || readers.run(&work, false, last_row)).await?
            }
            ending => ending,
        };
        // What was read may have been written a moment ago: it must not be told before it is safe.
        self.inner.progress.settled().await;
        match ending {
            Ending::Done(done) => Ok(Some(done)),
            Ending::Elsewhere(Elsewhere::Writer) => Ok(None),
            Ending::Elsewhere(Elsewhere::SlowRead) => Err(SqlError::Timeout.into()),
        }
    }

    /// Runs `work` on the writer in its turn; what it committed is on disk when this returns. It may happen even if the
    /// caller goes away.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, D1Error> + Send + 'static,
    ) -> Result<T, D1Error> {
        self.gate.pass().await?;
        self.inner.checkpoints.check_log()?;
        let late = self.clock.monotonic() + QUERY_DURATION_MAX;
        let clock = self.clock.clone();
        let (job, answer) =
            job(
                move |writer| {
                    if late <= clock.monotonic() { Err(SqlError::QueuedTooLong.into()) } else { work(writer) }
                },
            );
        let is_to_be_worked = lock(&self.inner.queue).push(job)?;
        if is_to_be_worked {
            let inner = Arc::clone(&self.inner);
            tokio::task::spawn_blocking(move || inner.work_off());
        }
        outcome(answer).await
    }

    /// Runs `work`, which may take long, on the writer while other writes wait; what it committed is on disk when this
    /// returns. It happens even if the caller goes away.
    pub(crate) async fn write_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, D1Error> + Send + 'static,
    ) -> Result<T, D1Error> {
        let closed = self.gate.close()?;
        let (job, answer) = job(work);
        let inner = Arc::clone(&self.inner);
        let worked = tokio::task::spawn_blocking(move || {
            // A queue of its own: it does not wait behind others, which the gate has wait.
            let alone = Mutex::<Queue>::default();
            if lock(&alone).push(job).is_ok() {
                lock(&inner.writer).work_off(&alone, |frames| inner.checkpoints.notice(frames));
            }
            drop(closed);
        });
        // Who is told is the next to ask, and finds the gate open.
        drop(worked.await);
        outcome(answer).await
    }

    /// The newest commit that anybody may know of.
    pub(crate) fn commit(&self) -> u64 {
        self.inner.history.newest().0
    }

    /// Runs `work`, which may take long, on a connection of its own that sees one state of the database, while others read
    /// and write. The database stays open meanwhile, and what `work` saw is on disk when this returns.
    pub(crate) async fn read_alone<T: Send + 'static>(
        database: InUse,
        work: impl FnOnce(&mut Connection, &Guard) -> Result<T, D1Error> + Send + 'static,
    ) -> Result<T, D1Error> {
        let database = Arc::new(database);
        let held = Arc::clone(&database);
        let read = move || {
            let failed = |error| StoreError::sqlite("open a reader of", &held.inner.file, &error);
            let (mut connection, guard) =
                sql::open(&held.inner.file, Access::Read, held.clock.clone()).map_err(failed)?;
            let begin = "BEGIN; SELECT count(*) FROM sqlite_schema";
            guard.ours(|| connection.execute_batch(begin)).map_err(failed)?;
            work(&mut connection, &guard)
        };
        let done = blocking(read).await?;
        database.inner.progress.settled().await;
        Ok(done)
    }

    pub(super) fn history_bytes(&self) -> u64 {
        self.inner.checkpoints.history_bytes()
    }

    /// Waits for its turn to restore a state.
    pub(super) async fn restoring(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.restoring.lock().await
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.inner.history)
    }

    /// Closes it: all that its log holds is archived and moved into the file. Nobody uses it any more, but what callers left
    /// who went away may still wait or run; it comes to its end first, for the next to open the files must be alone. Blocks on
    /// the disk.
    pub(super) fn close(self) -> Result<(), StoreError> {
        drop(self.readers);
        let mut writer = lock(&self.inner.writer);
        writer.work_off(&self.inner.queue, |_frames| {});
        self.inner.checkpoints.finish()
    }
}

impl Inner {
    fn work_off(&self) {
        lock(&self.writer).work_off(&self.queue, |frames| self.checkpoints.notice(frames));
    }
}

/// Work for a writer, and where its outcome will be told.
fn job<T: Send + 'static>(
    work: impl FnOnce(&mut Writer) -> Result<T, D1Error> + Send + 'static,
) -> (Job, oneshot::Receiver<Outcome<T>>) {
    let (caller, answer) = oneshot::channel();
    let job = Box::new(move |writer: &mut Writer| -> Answer {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(writer)));
        Box::new(move |synced| {
            let outcome = match (outcome, synced) {
                (Ok(Ok(_)), Err(error)) => Ok(Err(error.into())),
                (outcome, _) => outcome,
            };
            // A caller that went away is no matter.
            let _ = caller.send(outcome);
        })
    });
    (job, answer)
}

/// What came of a job, or the panic that ended it.
type Outcome<T> = std::thread::Result<Result<T, D1Error>>;

async fn outcome<T>(answer: oneshot::Receiver<Outcome<T>>) -> Result<T, D1Error> {
    match answer.await {
        Ok(outcome) => outcome.unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => Err(StoreError::Closed.into()),
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}

/// Whether the first word says that something is to be changed: then a reader need not look at it.
fn begins_with_a_write(work: &Work) -> bool {
    const WORDS: [&str; 7] = ["insert", "update", "delete", "replace", "create", "alter", "drop"];
    work.queries.first().is_some_and(|first| sql::begins_with(first.sql.trim_start(), &WORDS))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        model::{Format, Query},
        sql::{Caller, Results},
    };

    async fn run(database: &OpenDatabase, sql: &str) -> Result<Done, D1Error> {
        let queries = vec![Query { sql: sql.to_owned(), params: Vec::new() }];
        let (format, results, caller) = (Format::Objects, Results::EachQuery, Caller::default());
        database.query(Work { queries, format, results, caller }).await.map(|(done, _)| done)
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_archived_stops_writes_at_its_limit_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { log_frames_max: 4_000, ..Limits::new(Duration::from_secs(60), u64::MAX) };
        let database = OpenDatabase::open(folder.path(), limits, &Clock::system()).unwrap();
        run(&database, "CREATE TABLE t (a)").await.unwrap();
        // No folder, no segments.
        let (history, aside) = (folder.path().join("history"), folder.path().join("aside"));
        fs::rename(&history, &aside).unwrap();
        let insert = "INSERT INTO t VALUES (zeroblob(1900000))";
        let mut rows = 0;
        let error = loop {
            match run(&database, insert).await {
                Ok(_) => rows += 1,
                Err(error) => break error,
            }
            assert!(rows < 50, "the log has no end");
        };
        assert!(error.to_string().contains("could not be archived"), "{error}");
        let count = run(&database, "SELECT count(*) AS n FROM t").await.unwrap();
        assert!(
            String::from_utf8(count.into_json()).unwrap().contains(&format!("\"n\":{rows}")),
            "reads go on"
        );

        fs::rename(&aside, &history).unwrap();
        while run(&database, insert).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        database.close().unwrap();
    }
}
