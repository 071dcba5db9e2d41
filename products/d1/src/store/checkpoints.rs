//! When a database's log is archived and moved into its file: in the background once it is long enough, and in the writer's
//! own time when it grows faster than that.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use store::StoreError;

use crate::history::{History, How};

/// Frames at which the background begins: 4 MiB of pages, SQLite's own default.
const FRAMES_LOW: u32 = 1_000;

/// Frames at which the writer waits for it: 64 MiB. Under steady writing the background alone never catches the log's end.
const FRAMES_HIGH: u32 = 16_384;

#[derive(Debug)]
pub(super) struct Checkpoints {
    history: Arc<History>,
    /// Held by the one that runs; whether there are to be no more.
    is_over: Mutex<bool>,
    is_running: AtomicBool,
    is_failing: AtomicBool,
    /// Frames at the last time.
    frames: AtomicU32,
    history_bytes: AtomicU64,
}

impl Checkpoints {
    pub(super) fn new(history: Arc<History>) -> Result<Self, StoreError> {
        let (is_running, is_failing) = (AtomicBool::new(false), AtomicBool::new(false));
        let history_bytes = AtomicU64::new(history.bytes()?);
        Ok(Self {
            history,
            is_over: Mutex::new(false),
            is_running,
            is_failing,
            frames: AtomicU32::new(0),
            history_bytes,
        })
    }

    /// Bytes of the history when it was last tidied.
    pub(super) fn history_bytes(&self) -> u64 {
        self.history_bytes.load(Ordering::Relaxed)
    }

    /// Learns from the writer how long the log is; called on a thread that may block.
    pub(super) fn notice(self: &Arc<Self>, frames: u32) {
        let before = self.frames.load(Ordering::Relaxed);
        // It may have started over.
        let grown = if frames < before { frames } else { frames - before };
        if grown < FRAMES_LOW {
            return;
        }
        self.frames.store(frames, Ordering::Relaxed);
        if FRAMES_HIGH <= frames {
            self.run(How::Restart);
        } else if !self.is_running.swap(true, Ordering::AcqRel) {
            let checkpoints = Arc::clone(self);
            tokio::task::spawn_blocking(move || {
                checkpoints.run(How::Passive);
                checkpoints.is_running.store(false, Ordering::Release);
            });
        }
    }

    /// The last one, before the database is closed; one that runs or waits in the background comes to nothing more.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let mut is_over = self.is_over();
        *is_over = true;
        self.archive(How::Truncate)
    }

    fn is_over(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn archive(&self, how: How) -> Result<(), StoreError> {
        self.history.checkpoint(how)?;
        self.history.tidy()?;
        self.history_bytes.store(self.history.bytes()?, Ordering::Relaxed);
        Ok(())
    }

    fn run(&self, how: How) {
        let is_over = self.is_over();
        if *is_over {
            return;
        }
        let outcome = self.archive(how);
        let was_failing = self.is_failing.swap(outcome.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (&outcome, was_failing) {
            tracing::warn!(%error, "A database's log cannot be archived; it grows until that succeeds again");
        }
    }
}
