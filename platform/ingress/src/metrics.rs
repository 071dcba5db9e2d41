//! What the door counts. How it is shown is somebody else's work: [`Metrics::snapshot`] gives the figures.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::StatusCode;

use crate::fault::FaultKind;

/// Upper bounds of the histogram's buckets in microseconds; what took longer is counted in one more bucket.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// The counters of one door.
#[derive(Debug, Default)]
pub struct Metrics {
    by_class: [AtomicU64; 5],
    by_fault: [AtomicU64; FaultKind::ALL.len()],
    latency: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    latency_sum_us: AtomicU64,
    connections: AtomicU64,
    websockets: AtomicU64,
}

/// The figures of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Answers by class of status, 1xx to 5xx.
    pub by_class: [u64; 5],
    /// Failures by kind, in the order of [`FaultKind::ALL`].
    pub by_fault: [u64; FaultKind::ALL.len()],
    /// Requests by the time until their answer began; the bounds are [`LATENCY_BOUNDS_US`], and one above them.
    pub latency: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// Sum of these times in microseconds.
    pub latency_sum_us: u64,
    /// Connections accepted so far.
    pub connections: u64,
    /// WebSockets opened so far.
    pub websockets: u64,
}

impl Metrics {
    /// All figures as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            by_class: std::array::from_fn(|index| read(&self.by_class[index])),
            by_fault: std::array::from_fn(|index| read(&self.by_fault[index])),
            latency: std::array::from_fn(|index| read(&self.latency[index])),
            latency_sum_us: read(&self.latency_sum_us),
            connections: read(&self.connections),
            websockets: read(&self.websockets),
        }
    }

    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < took_us);
        add(&self.by_class[class], 1);
        add(&self.latency[bucket], 1);
        add(&self.latency_sum_us, took_us);
    }

    pub(crate) fn failed(&self, kind: FaultKind) {
        add(&self.by_fault[kind.index()], 1);
    }

    pub(crate) fn connected(&self) {
        add(&self.connections, 1);
    }

    pub(crate) fn upgraded(&self) {
        add(&self.websockets, 1);
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
