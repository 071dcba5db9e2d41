//! Bringing commits to disk. The writer does not wait for it: what it commits while the log is being synced shares the
//! next sync, and nobody is answered before theirs.

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use store::{StoreError, fault};

use super::writer::lock;

/// Requests that share a sync; while as many wait for the next, the writer waits too.
pub(super) const WRITES_PER_SYNC_MAX: usize = 256;

/// Tells a caller, once it is known whether the sync succeeded.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How far the database's commits have come, in commits since it was opened.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Those that a reader may see.
    pub(super) begun: AtomicU64,
    /// Those that are on disk.
    synced: tokio::sync::watch::Sender<u64>,
    /// The row that was inserted last.
    pub(super) last_row: AtomicI64,
}

impl Progress {
    pub(super) fn last_row(&self) -> i64 {
        self.last_row.load(Ordering::Relaxed)
    }

    /// Waits until all that a reader may have seen by now is on disk.
    pub(super) async fn settled(&self) {
        let seen = self.begun.load(Ordering::Acquire);
        if *self.synced.borrow() < seen {
            // It ends with the writer, which never ends before it has said so.
            drop(self.synced.subscribe().wait_for(|synced| seen <= *synced).await);
        }
    }
}

/// The syncs of one database's log.
pub(super) struct Syncs {
    log_path: PathBuf,
    /// Opened with the first commit.
    log: OnceLock<File>,
    /// After a sync that failed, nobody knows what of the log is on disk, not even if the next one succeeds.
    failure: OnceLock<StoreError>,
    progress: Arc<Progress>,
    waiting: Mutex<Waiting>,
    has_room: Condvar,
}

/// What the next sync is for.
#[derive(Default)]
struct Waiting {
    answers: Vec<Answer>,
    begun: u64,
    /// Somebody works them off.
    is_worked: bool,
}

impl Syncs {
    pub(super) fn new(log_path: PathBuf, progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self {
            log_path,
            log: OnceLock::new(),
            failure: OnceLock::new(),
            progress,
            waiting: Mutex::default(),
            has_room: Condvar::new(),
        })
    }

    /// Whether anything may be committed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.failure.get().cloned().map_or(Ok(()), Err)
    }

    /// Answers as soon as all that is committed by now is on disk.
    pub(super) fn push(self: &Arc<Self>, answers: Vec<Answer>) {
        let mut waiting = lock(&self.waiting);
        while WRITES_PER_SYNC_MAX <= waiting.answers.len() {
            waiting = self.has_room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.answers.extend(answers);
        waiting.begun = self.progress.begun.load(Ordering::Acquire);
        if !std::mem::replace(&mut waiting.is_worked, true) {
            let working = Working { syncs: Arc::clone(self), is_over: false };
            tokio::task::spawn_blocking(move || working.work_off());
        }
    }

    /// What waits, and the commits that it waits for; if nothing does, there is nobody any more who works it off.
    fn take(&self) -> Option<(Vec<Answer>, u64)> {
        let mut waiting = lock(&self.waiting);
        waiting.is_worked = !waiting.answers.is_empty();
        self.has_room.notify_all();
        waiting.is_worked.then(|| (std::mem::take(&mut waiting.answers), waiting.begun))
    }

    /// Brings the log to disk.
    fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        let failed = |error| StoreError::file("sync", &self.log_path, &error);
        let sync = || {
            let log = match self.log.get() {
                Some(log) => log,
                None => {
                    let opened = File::open(&self.log_path).map_err(failed)?;
                    self.log.get_or_init(|| opened)
                }
            };
            log.sync_data().map_err(failed)
        };
        sync().inspect_err(|error| {
            tracing::error!(%error, "A database takes no more writes until it is opened again");
            let _ = self.failure.set(error.clone());
        })
    }
}

/// The one who works off what waits. If it is given up before that, as when the server ends, those who wait are told.
struct Working {
    syncs: Arc<Syncs>,
    is_over: bool,
}

impl Working {
    fn work_off(mut self) {
        let progress = &self.syncs.progress;
        while let Some((answers, begun)) = self.syncs.take() {
            let is_synced = begun <= *progress.synced.borrow();
            let synced = if is_synced { self.syncs.check() } else { self.syncs.sync() };
            fault::point("d1: synced");
            // Those who wait for it are told even of a failure: they would wait for ever, and it is in the log.
            progress.synced.send_replace(begun);
            for answer in answers {
                answer(synced.clone());
            }
        }
        self.is_over = true;
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.is_over {
            while let Some((answers, _)) = self.syncs.take() {
                for answer in answers {
                    answer(Err(StoreError::Closed));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use store::StoreError;
    use tokio::sync::mpsc;

    use super::{Progress, Syncs};

    #[tokio::test]
    async fn after_a_sync_that_failed_nothing_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Arc::<Progress>::default();
        let path = folder.path().join("db.sqlite-wal");
        let syncs = Syncs::new(path.clone(), Arc::clone(&progress));
        let (told, mut tells) = mpsc::channel(1);
        let push = || {
            let told = told.clone();
            syncs.push(vec![Box::new(move |synced| told.try_send(synced).unwrap())]);
        };
        push();
        assert!(matches!(tells.recv().await, Some(Ok(()))), "nothing was committed");
        assert!(syncs.check().is_ok());
        // The log is not there; it comes back, but what was in it may not.
        for _ in 0..2 {
            progress.begun.fetch_add(1, Ordering::AcqRel);
            push();
            assert!(matches!(tells.recv().await, Some(Err(StoreError::File(_)))));
            progress.settled().await;
            std::fs::write(&path, "").unwrap();
        }
        assert!(syncs.check().is_err());
    }
}
