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
    /// Frames at the last time.
    frames: AtomicU32,
    /// Frames when it was last told that the log cannot be archived; 0 if it can.
    told_frames: AtomicU32,
    is_untidy: AtomicBool,
    history_bytes: AtomicU64,
}

impl Checkpoints {
    pub(super) fn new(history: Arc<History>) -> Result<Self, StoreError> {
        let history_bytes = AtomicU64::new(history.bytes()?);
        Ok(Self {
            history,
            is_over: Mutex::default(),
            is_running: AtomicBool::default(),
            frames: AtomicU32::default(),
            told_frames: AtomicU32::default(),
            is_untidy: AtomicBool::default(),
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
        } else {
            self.run_in_background();
        }
    }

    fn run_in_background(self: &Arc<Self>) {
        if !self.is_running.swap(true, Ordering::AcqRel) {
            let checkpoints = Arc::clone(self);
            tokio::task::spawn_blocking(move || {
                checkpoints.run(How::Passive);
                checkpoints.is_running.store(false, Ordering::Release);
            });
        }
    }

    /// Refuses a write while the log can neither be archived nor grow; tries again to archive it.
    pub(super) fn check_log(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.told_frames.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let checked = self.history.check_log(self.frames.load(Ordering::Relaxed));
        if checked.is_err() {
            self.run_in_background();
        }
        checked
    }

    /// The last one, before the database is closed; one that runs or waits in the background comes to nothing more.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let mut is_over = self.is_over();
        *is_over = true;
        let is_empty = self.history.checkpoint(How::Truncate)?;
        self.tidied(if is_empty { self.history.tidy_at_rest() } else { self.history.tidy() });
        Ok(())
    }

    fn is_over(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, how: How) {
        let is_over = self.is_over();
        if *is_over {
            return;
        }
        let archived = self.history.checkpoint(how);
        self.tell(archived.as_ref().err());
        if archived.is_ok() {
            self.tidied(self.history.tidy());
        }
    }

    /// Says that the log cannot be archived, and again each time that it has become twice as long.
    fn tell(&self, failure: Option<&StoreError>) {
        let (told, frames) = (self.told_frames.load(Ordering::Relaxed), self.frames.load(Ordering::Relaxed));
        let told = match failure {
            None => 0,
            Some(_) if told != 0 && frames < told.saturating_mul(2) => told,
            Some(error) => {
                tracing::warn!(%error, frames, "A database's log cannot be archived; it grows until that succeeds again");
                frames.max(1)
            }
        };
        self.told_frames.store(told, Ordering::Relaxed);
    }

    /// Takes note of how tidying went.
    fn tidied(&self, tidied: Result<(), StoreError>) {
        let tidied = tidied.and_then(|()| self.history.bytes());
        let was_untidy = self.is_untidy.swap(tidied.is_err(), Ordering::Relaxed);
        match tidied {
            Ok(bytes) => self.history_bytes.store(bytes, Ordering::Relaxed),
            Err(_) if was_untidy => {}
            Err(error) => {
                tracing::warn!(%error, "A database's history cannot be tidied; it grows until that succeeds again");
            }
        }
    }
}
