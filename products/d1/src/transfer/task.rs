//! An import or export under way, as those who poll see it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a poll waits for the end, so that clients need no pauses between polls.
const POLL_DURATION_MAX: Duration = Duration::from_secs(1);

/// A handle; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// Names it in polls: the state of the database when it began.
    pub(crate) bookmark: String,
    pub(super) expires_ms: u64,
    status: Arc<watch::Sender<Status>>,
    /// Statements or rows that are done.
    done: Arc<AtomicU64>,
    cancelled: CancellationToken,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Active,
    /// With its result.
    Complete(serde_json::Value),
    /// What the caller is told.
    Failed(String),
}

impl Task {
    pub(super) fn new(bookmark: String, expires_ms: u64, stop: &CancellationToken) -> Self {
        Self {
            bookmark,
            expires_ms,
            status: Arc::new(watch::Sender::new(Status::Active)),
            done: Arc::default(),
            cancelled: stop.child_token(),
        }
    }

    /// Waits for the end, but not long.
    pub(crate) async fn poll(&self) -> Status {
        let mut changes = self.status.subscribe();
        let end = changes.wait_for(|status| !matches!(status, Status::Active));
        // The sender is this handle's own, so nothing but the time can fail.
        let _ = tokio::time::timeout(POLL_DURATION_MAX, end).await;
        self.status.borrow().clone()
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    pub(super) fn finish(&self, status: Status) {
        self.status.send_replace(status);
    }

    pub(super) fn is_finished(&self) -> bool {
        !matches!(*self.status.borrow(), Status::Active)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    pub(super) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}
