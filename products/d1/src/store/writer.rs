//! The one connection that changes a database. Each request is a transaction of its own, committed without a sync;
//! one sync of the log then covers all that wait for it (see `syncs`). No thread is held while nothing is to be written.

use std::{
    collections::VecDeque,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use store::{
    Failure, StoreError, fault,
    rusqlite::{
        self, Connection, OpenFlags,
        backup::{Backup, StepResult},
    },
};
use tasks::Clock;

use super::syncs::{Answer, Progress, Syncs, WRITES_PER_SYNC_MAX};
use crate::{
    D1Error,
    error::SqlError,
    history::{History, Limits, Sequence},
    sql::{
        self, Access, Allowance, Caller, Done, Ending, Guard, Plans, Script, ScriptError, ScriptStatement,
        Sums, Work, ours,
    },
};

/// Requests that may wait to change a database.
pub(super) const WRITES_WAITING_MAX: usize = 1024;

/// One caller's work.
pub(super) type Job = Box<dyn FnOnce(&mut Writer) -> Answer + Send>;

/// The jobs that wait.
#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// Somebody works them off.
    is_worked: bool,
}

impl Queue {
    /// Takes a job; says whether the caller must see to it that the queue is worked off.
    pub(super) fn push(&mut self, job: Job) -> Result<bool, SqlError> {
        if WRITES_WAITING_MAX <= self.jobs.len() {
            return Err(SqlError::Overloaded);
        }
        self.jobs.push_back(job);
        Ok(!std::mem::replace(&mut self.is_worked, true))
    }

    fn take(&mut self) -> Vec<Job> {
        let count = self.jobs.len().min(WRITES_PER_SYNC_MAX);
        if count == 0 {
            self.is_worked = false;
        }
        self.jobs.drain(..count).collect()
    }
}

/// The connection and what belongs to it.
pub(crate) struct Writer {
    pub(super) connection: Connection,
    guard: Guard,
    plans: Plans,
    clock: Clock,
    syncs: Arc<Syncs>,
    /// Frames in the log after a commit, as SQLite's hook reported them; 0 once that was looked at.
    frames: Arc<AtomicU32>,
    /// Frames in the log as far as it is known.
    log_frames: u32,
    history: Arc<History>,
    progress: Arc<Progress>,
    file: Arc<Path>,
}

/// What an import did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Imported {
    pub(crate) sums: Sums,
    pub(crate) last_row_id: i64,
    /// Bytes of the whole database afterwards.
    pub(crate) size: u64,
}

impl Writer {
    /// Opens the file, and makes it if it is not there. The log that a crash left is recovered before the history looks at it.
    pub(super) fn open(
        file: &Arc<Path>,
        folder: &Path,
        limits: Limits,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::sqlite("open", file, &error);
        let (mut connection, guard) = sql::open(file, Access::Write, clock.clone()).map_err(failed)?;
        let frames = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&frames);
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames: i32| {
                counter.store(u32::try_from(frames).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(failed)?;
        let log_path = PathBuf::from(format!("{}-wal", file.display()));
        let progress = Arc::<Progress>::default();
        let history = History::open(&folder.join("history"), file, limits, clock.clone())?;
        Ok(Self {
            connection,
            guard,
            plans: Plans::default(),
            clock,
            syncs: Syncs::new(log_path, Arc::clone(&progress)),
            frames,
            log_frames: 0,
            history: Arc::new(history),
            progress,
            file: Arc::clone(file),
        })
    }

    /// Runs a file's statements: all of them happen or none, and none if the caller waits no longer. `after_each` is told what
    /// they did so far, and may stop them.
    pub(crate) fn import(
        &mut self,
        file: impl Read,
        caller: &Caller,
        after_each: impl Fn(&Sums) -> Result<(), D1Error>,
    ) -> Result<Imported, D1Error> {
        self.transaction(|writer| {
            writer.guard.begin(Allowance::IMPORT, false, caller);
            let Self { connection, guard, plans, .. } = writer;
            let (mut script, mut sums) = (Script::new(file), Sums::default());
            sql::with_long_statements(connection, || {
                while let Some(ScriptStatement { sql, line }) = script.next().map_err(import_text)? {
                    sql::execute(connection, guard, plans, &sql, &mut sums).map_err(|error| match error {
                        SqlError::Storage(error) => D1Error::Store(error),
                        error => D1Error::ImportStatement { number: sums.statements + 1, line, error },
                    })?;
                    after_each(&sums)?;
                }
                Ok::<_, D1Error>(())
            })?;
            if sums.statements == 0 {
                return Err(SqlError::NoStatements.into());
            }
            let size = guard.ours(|| sql::database_bytes(connection))?;
            Ok(Imported { sums, last_row_id: connection.last_insert_rowid(), size })
        })
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Runs a request's statements: all of them happen or none. Returns their answer and the commit that it saw.
    pub(super) fn run(&mut self, work: &Work) -> Result<(Done, Sequence), D1Error> {
        let done = self.transaction(|writer| {
            writer.guard.begin(Allowance::REQUEST, false, &work.caller);
            let Self { connection, guard, plans, clock, .. } = writer;
            match sql::run(connection, guard, plans, work, clock, None)? {
                Ending::Done(done) => Ok(done),
                // A connection that writes sends nothing elsewhere.
                Ending::Elsewhere(_) => Err(SqlError::Timeout.into()),
            }
        })?;
        Ok((done, self.history.newest()))
    }

    /// Puts another database's content in the place of this one's, as one commit.
    pub(super) fn replace_with(&mut self, file: &Path) -> Result<Sequence, StoreError> {
        let failed = |error| StoreError::sqlite("restore into", &self.file, &error);
        let source = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        self.progress.begun.fetch_add(1, Ordering::AcqRel);
        let copied = {
            let backup = Backup::new(&source, &mut self.connection).map_err(failed)?;
            backup.step(-1).map_err(failed)?
        };
        if copied != StepResult::Done {
            let cause = format!("the copy ended as {copied:?}");
            return Err(StoreError::Sqlite(Failure {
                tried: "restore into",
                file: self.file.to_path_buf(),
                cause,
            }));
        }
        self.plans = Plans::default();
        // SQLite calls the hook at the end of a statement; the copy was none.
        self.guard.ours(|| self.connection.execute_batch(ours::LOOK)).map_err(failed)?;
        Ok(self.note_commit())
    }

    /// Tells the history of a commit, if there was one that changed anything.
    fn note_commit(&mut self) -> Sequence {
        match self.frames.swap(0, Ordering::Relaxed) {
            0 => self.history.newest(),
            frames => {
                self.log_frames = frames;
                self.history.committed(frames)
            }
        }
    }

    /// Runs `work` in a transaction, and undoes it if it fails.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, D1Error>,
    ) -> Result<T, D1Error> {
        self.syncs.check()?;
        self.ours(ours::BEGIN_WRITE)?;
        let outcome = work(self).and_then(|result| {
            // Deferred foreign keys are checked here: it may be the person's doing if it fails.
            self.progress.begun.fetch_add(1, Ordering::AcqRel);
            self.commit()?;
            self.note_commit();
            Ok(result)
        });
        if outcome.is_err() && !self.connection.is_autocommit() {
            self.ours(ours::ROLLBACK)?;
        }
        self.guard.end(&self.connection)?;
        outcome
    }

    fn commit(&self) -> Result<(), D1Error> {
        fault::point("d1: before commit");
        let committed = self.guard.execute(&self.connection, ours::COMMIT);
        self.progress.last_row.store(self.connection.last_insert_rowid(), Ordering::Relaxed);
        fault::point("d1: committed");
        committed.map_err(|error| self.guard.explain(error).into())
    }

    fn ours(&self, sql: &str) -> Result<(), StoreError> {
        let done = self.guard.execute(&self.connection, sql);
        done.map_err(|error| StoreError::sqlite("write to", &self.file, &error))
    }

    /// Runs a job; one that broke off within its transaction leaves none.
    fn run_alone(&mut self, job: Job) -> Answer {
        let answer = job(self);
        if !self.connection.is_autocommit() {
            // It cannot fail in a way that matters: what is not committed is not kept.
            let _ = self.ours(ours::ROLLBACK);
        }
        answer
    }

    /// Works off what waits, group by group, until nothing does. `after_group` is told the length of the log in frames.
    pub(super) fn work_off(&mut self, queue: &Mutex<Queue>, mut after_group: impl FnMut(u32)) {
        loop {
            let jobs = lock(queue).take();
            if jobs.is_empty() {
                return;
            }
            let answers: Vec<Answer> = jobs.into_iter().map(|job| self.run_alone(job)).collect();
            self.syncs.push(answers);
            after_group(self.log_frames);
        }
    }
}

fn import_text(error: ScriptError) -> D1Error {
    D1Error::ImportText(error.to_string())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A job that panics has changed nothing that the next one sees: its transaction is undone.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
