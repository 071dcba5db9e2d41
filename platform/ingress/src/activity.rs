//! What one connection is doing, so that it can be closed when it does nothing: shared by its socket, which sees bytes,
//! its requests, which begin and end, and its task, which closes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tasks::Clock;
use tokio::sync::OwnedSemaphorePermit;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has sent no whole request yet.
    Opening,
    /// It has sent the beginning of a further request.
    Head,
    /// A request is being answered.
    Busy,
    /// It was answered and has said nothing since.
    Idle,
}

/// One connection's doings.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Clock,
    accepted: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds after `accepted`.
    since_ms: AtomicU64,
    requests: AtomicU32,
    is_http2: AtomicBool,
    is_taken_over: AtomicBool,
    is_abrupt: AtomicBool,
    /// Given back when the socket is closed, wherever it has gone by then.
    _slot: OwnedSemaphorePermit,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

/// How long each phase may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Activity {
    pub(crate) fn new(clock: Clock, slot: OwnedSemaphorePermit) -> Self {
        Self {
            accepted: clock.monotonic(),
            clock,
            phase: AtomicU8::new(Phase::Opening as u8),
            since_ms: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            is_taken_over: AtomicBool::new(false),
            is_abrupt: AtomicBool::new(false),
            _slot: slot,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    /// The socket received bytes; `is_preface` if they begin an HTTP/2 connection.
    pub(crate) fn received(&self, is_preface: bool) {
        match self.phase() {
            Phase::Opening if is_preface => self.is_http2.store(true, Ordering::Relaxed),
            // HTTP/2 has frames that belong to no request.
            Phase::Idle if !self.is_http2.load(Ordering::Relaxed) => self.enter(Phase::Head),
            Phase::Opening | Phase::Head | Phase::Busy | Phase::Idle => {}
        }
    }

    /// A request's headers are complete.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Busy as u8, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// The socket now belongs to a WebSocket: each direction ends by itself.
    pub(crate) fn take_over(&self) {
        self.is_taken_over.store(true, Ordering::Relaxed);
    }

    /// The client is owed nothing more: its socket may be closed at once.
    pub(crate) fn make_abrupt(&self) {
        self.is_abrupt.store(true, Ordering::Relaxed);
    }

    /// Whether, when closing, to read on until the client has closed too.
    pub(crate) fn lingers(&self) -> bool {
        !self.is_taken_over.load(Ordering::Relaxed) && !self.is_abrupt.load(Ordering::Relaxed)
    }

    /// Waits until a phase has taken longer than it may, and says which.
    pub(crate) async fn expired(&self, patience: Patience) -> Phase {
        // A phase may begin while this sleeps, so no sleep is longer than a part of the shortest patience.
        let step = (patience.header_timeout.min(patience.idle_timeout) / 4).max(Duration::from_millis(1));
        loop {
            let phase = self.phase();
            let limit = match phase {
                Phase::Opening | Phase::Head => Some(patience.header_timeout),
                Phase::Idle => Some(patience.idle_timeout),
                Phase::Busy => None,
            };
            let spent = self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed));
            let left = limit.map(|limit| limit.saturating_sub(Duration::from_millis(spent)));
            match left {
                Some(Duration::ZERO) => return phase,
                Some(left) => tokio::time::sleep(left.min(step)).await,
                None => tokio::time::sleep(step).await,
            }
        }
    }

    fn enter(&self, phase: Phase) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        let age = self.clock.monotonic().saturating_duration_since(self.accepted);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}
