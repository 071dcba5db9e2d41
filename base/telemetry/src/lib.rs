//! Logs and metrics: how they are set up and named. What is logged and counted is each crate's own affair.

mod logs;
mod metrics;

pub use logs::{LogFormat, LogSetupError, init};
pub use metrics::{Label, Metrics};
pub use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
