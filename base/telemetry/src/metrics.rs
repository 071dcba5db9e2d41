//! Prometheus metrics: one registry, read by `/metrics`. Names begin with `skerry_`, units come last.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{MetricType, counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

/// One label with its value, as in `class="2xx"`.
pub type Label = [(&'static str, &'static str); 1];

/// The registry; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

/// Upper bounds in seconds of every duration histogram: from a cache hit to a slow origin.
const SECONDS_BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("skerry"))))
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric of any kind, for example a family with labels.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric.clone());
        metric
    }

    /// Adds a counter; `_total` is appended to its name.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// Adds a gauge.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// Adds a histogram of durations in seconds; the name should end in `_seconds`.
    #[must_use]
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        self.register(name, help, Histogram::new(SECONDS_BUCKETS))
    }

    /// Adds gauges with one label that are looked up at each scrape: for what is counted elsewhere, and must be cheap to ask
    /// for.
    pub fn sampled(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        sample: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static,
    ) {
        let sampled = Sampled { name, help, label, sample: Box::new(sample) };
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(sampled));
    }

    /// A histogram of durations for a family with labels.
    #[must_use]
    pub fn seconds_histogram() -> Histogram {
        Histogram::new(SECONDS_BUCKETS)
    }

    /// The text that Prometheus scrapes (OpenMetrics format).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => format!("# metrics could not be written: {error}\n"),
        }
    }
}

/// Looks its gauges up.
struct Sampled {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    sample: Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>,
}

impl Debug for Sampled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sampled").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut gauges = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (member, value) in (self.sample)() {
            gauges.encode_family(&[(self.label, member)])?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_counter_shows_under_our_prefix() {
        let metrics = Metrics::new();
        metrics.counter("requests", "Requests answered").inc();
        assert!(metrics.render().contains("skerry_requests_total 1"), "{}", metrics.render());
    }

    #[test]
    fn what_is_sampled_is_looked_up_at_each_scrape() {
        let metrics = Metrics::new();
        metrics.sampled("things", "Things there are", "kind", || vec![("a\"b".to_owned(), 7)]);
        assert!(metrics.render().contains("skerry_things{kind=\"a\\\"b\"} 7"), "{}", metrics.render());
    }
}
