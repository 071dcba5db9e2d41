//! What the door counts. Each counter is fetched from the registry once, so that counting costs no look-up.

use std::time::Duration;

use http::StatusCode;
use telemetry::{Counter, Family, Histogram, Label};

use crate::fault::FaultKind;

/// The counters of one door.
#[derive(Debug)]
pub(crate) struct Metrics {
    by_class: [Counter; 5],
    by_fault: [Counter; FaultKind::ALL.len()],
    seconds: Histogram,
    connections: Counter,
    websockets: Counter,
    handshakes_failed: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &telemetry::Metrics) -> Self {
        let classes = Family::<Label, Counter>::default();
        let classes = registry.register("ingress_requests", "Requests answered, by class of status", classes);
        let faults = Family::<Label, Counter>::default();
        let faults =
            registry.register("ingress_errors", "Requests answered by an error page, by error", faults);
        let class = |class| classes.get_or_create(&[("class", class)]).clone();
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            by_fault: FaultKind::ALL.map(|kind| faults.get_or_create(&[("error", kind.name())]).clone()),
            seconds: registry.seconds("ingress_request_seconds", "Time until a request's answer began"),
            connections: registry.counter("ingress_connections", "Connections accepted"),
            websockets: registry.counter("ingress_websockets", "WebSockets opened"),
            handshakes_failed: registry
                .counter("ingress_tls_handshakes_failed", "TLS handshakes that did not end in a connection"),
        }
    }

    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, kind: FaultKind) {
        self.by_fault[kind.index()].inc();
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    pub(crate) fn upgraded(&self) {
        self.websockets.inc();
    }
}
