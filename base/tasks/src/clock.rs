//! The one source of time. Production reads the system's clocks; a test sets its own and moves it forward.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Tells the time; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Milliseconds since 1970 as set by a test; `None` follows the system.
    manual_ms: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { manual_ms: None }
    }

    /// A clock that stands still at `unix_ms` until [`Clock::advance`] moves it. For tests.
    #[must_use]
    pub fn manual(unix_ms: u64) -> Self {
        Self { manual_ms: Some(Arc::new(AtomicU64::new(unix_ms))) }
    }

    /// Moves a manual clock forward; all its clones move along. Does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual_ms) = &self.manual_ms {
            manual_ms.fetch_add(millis(by), Ordering::SeqCst);
        }
    }

    /// Wall-clock time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else must use")]
    pub fn now(&self) -> SystemTime {
        match &self.manual_ms {
            Some(manual_ms) => UNIX_EPOCH + Duration::from_millis(manual_ms.load(Ordering::SeqCst)),
            None => SystemTime::now(),
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        millis(self.now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix_secs(&self) -> u64 {
        self.unix_ms() / 1000
    }

    /// Time for measuring how long something took; never goes back, not settable.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else must use")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clock;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000_000);
        let clone = clock.clone();
        assert_eq!(clone.unix_ms(), 1_000_000);
        clock.advance(Duration::from_secs(61));
        assert_eq!(clone.unix_secs(), 1_061);
    }
}
