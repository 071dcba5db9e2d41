//! Tracked tasks: each has a name, stops when the server stops, and is waited for.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// Starts tasks and stops them together; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set of tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` until it ends or the tasks are stopped, whichever is first.
    #[expect(clippy::disallowed_methods, reason = "this is the spawn that everything else must use")]
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let stop = self.stop.clone();
        let until_stopped = async move {
            stop.run_until_cancelled(future).await;
        };
        tokio::spawn(self.tracker.track_future(until_stopped).instrument(tracing::debug_span!("task", name)))
    }

    /// Runs `future` to its end even while the tasks are being stopped: for work that drains by itself.
    #[expect(clippy::disallowed_methods, reason = "this is the spawn that everything else must use")]
    pub fn spawn_draining(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.tracker.track_future(future).instrument(tracing::debug_span!("task", name)))
    }

    /// Runs `future` to its end even if the caller is dropped while it waits: for changes whose steps belong together.
    /// `None` if the future panicked or the runtime is shutting down.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.spawn_draining(name, async move {
            // Nobody may be waiting any more.
            drop(sender.send(future.await));
        });
        receiver.await.ok()
    }

    /// A token that is cancelled when the tasks are stopped.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks every task to stop and waits for them, at most `limit`. Says whether all ended in time.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}
