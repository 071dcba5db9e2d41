//! Who still uses a process: a count of leases that can be closed, after which no new one is given.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// The highest bit says "closed", the others count the leases.
const CLOSED: u64 = 1 << 63;

#[derive(Debug, Default)]
pub(crate) struct Usage {
    state: AtomicU64,
    /// When the last lease ended, in milliseconds of the clock.
    last_used_ms: AtomicU64,
    was_used: AtomicBool,
    unused: Notify,
}

impl Usage {
    /// Takes a lease, unless closed.
    pub(crate) fn enter(&self) -> bool {
        let step = |state: u64| (state & CLOSED == 0).then_some(state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    /// Takes one more lease on behalf of somebody who holds one.
    pub(crate) fn enter_again(&self) {
        self.state.fetch_add(1, Ordering::AcqRel);
    }

    /// Gives a lease back.
    pub(crate) fn leave(&self, now_ms: u64) {
        self.last_used_ms.store(now_ms, Ordering::Relaxed);
        self.was_used.store(true, Ordering::Relaxed);
        if self.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.unused.notify_waiters();
        }
    }

    /// Gives no more leases.
    pub(crate) fn close(&self) {
        if self.state.fetch_or(CLOSED, Ordering::AcqRel) == 0 {
            self.unused.notify_waiters();
        }
    }

    /// Closes if nobody holds a lease and the last one ended `idle_ms` or more ago.
    pub(crate) fn close_if_idle(&self, now_ms: u64, idle_ms: u64) -> bool {
        idle_ms <= self.unused_ms(now_ms)
            && self.state.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether nobody holds a lease and the last one ended `idle_ms` or more ago.
    pub(crate) fn is_idle(&self, now_ms: u64, idle_ms: u64) -> bool {
        idle_ms <= self.unused_ms(now_ms) && self.state.load(Ordering::Acquire) == 0
    }

    /// Starts the idle time of a process that has not been used yet.
    pub(crate) fn begin(&self, now_ms: u64) {
        self.last_used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether a lease was ever taken.
    pub(crate) fn was_used(&self) -> bool {
        self.was_used.load(Ordering::Relaxed)
    }

    /// Time since the last lease ended.
    pub(crate) fn unused_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.last_used_ms.load(Ordering::Relaxed))
    }

    /// Whether no lease will be given any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Waits until it is closed and the last lease has ended.
    pub(crate) async fn drained(&self) {
        loop {
            // Registered before the look, so that a lease which ends in between is not missed.
            let unused = self.unused.notified();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            unused.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[tokio::test]
    async fn a_closed_process_gives_no_lease_and_drains_with_the_last() {
        let usage = Usage::default();
        assert!(usage.enter());
        usage.close();
        assert!(!usage.enter());
        let drained = usage.drained();
        usage.leave(5);
        drained.await;
    }

    #[test]
    fn only_an_unused_process_goes_to_sleep() {
        let usage = Usage::default();
        assert!(usage.enter());
        assert!(!usage.close_if_idle(1_000_000, 10));
        usage.leave(1_000_000);
        assert!(!usage.close_if_idle(1_000_005, 10));
        assert!(usage.close_if_idle(1_000_010, 10));
        assert!(!usage.enter());
    }
}
