//! What is counted, under `skerry_acme_`.

use telemetry::{Counter, Family, Gauge, Label};

/// A host, as a label.
type Host = Vec<(&'static str, String)>;

pub(crate) struct Metrics {
    issued: Counter,
    failed: Counter,
    days_left: Family<Host, Gauge>,
    failures: Family<Host, Gauge>,
}

impl Metrics {
    pub(crate) fn new(registry: &telemetry::Metrics) -> Self {
        let orders = Family::<Label, Counter>::default();
        let orders = registry.register("acme_orders", "Tries to get a certificate, by result", orders);
        let result = |result| orders.get_or_create(&[("result", result)]).clone();
        let family = Family::<Host, Gauge>::default;
        Self {
            issued: result("issued"),
            failed: result("failed"),
            days_left: registry.register(
                "acme_certificate_days_left",
                "Whole days until a host's certificate expires",
                family(),
            ),
            failures: registry.register(
                "acme_failures",
                "Failed tries for a host since the last certificate; 0 if the last try succeeded",
                family(),
            ),
        }
    }

    pub(crate) fn issued(&self) {
        self.issued.inc();
    }

    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    pub(crate) fn set_days_left(&self, host: &str, days: i64) {
        self.days_left.get_or_create(&label(host)).set(days);
    }

    pub(crate) fn set_failures(&self, host: &str, tries: u32) {
        self.failures.get_or_create(&label(host)).set(i64::from(tries));
    }

    pub(crate) fn forget(&self, host: &str) {
        self.days_left.remove(&label(host));
        self.failures.remove(&label(host));
    }
}

fn label(host: &str) -> Host {
    vec![("host", host.to_owned())]
}
