//! The public door: takes a host to a deployed Worker's process and streams both ways. It keeps no process and no route
//! itself: the engine runs the processes, the register of Workers publishes the routes.

mod activity;
mod body;
mod client;
mod connection;
mod dispatch;
mod fault;
mod frames;
mod headers;
mod host;
pub mod limits;
mod metrics;
mod page;
mod ray;
mod request;
mod rollout;
mod settings;
mod sites;
mod socket;
mod target;
mod tls;
mod trace;
mod websocket;

use std::{fmt, sync::Arc};

use hyper_util::server::conn::auto;
use tasks::{Clock, Tasks};
use tokio::net::TcpListener;
use workers::Routes;

pub use crate::{
    body::{Body, Inbound, RequestBody, RequestBodyError},
    client::{Client, Scheme},
    dispatch::{Answer, Dispatch, DispatchError, Hold},
    fault::FaultKind,
    headers::{CF_BLOB, CF_EW_VIA, CF_RAY, FORWARDED_PROTO},
    rollout::version_for,
    settings::{Colo, Settings},
    sites::{NoSites, Site, Sites},
    tls::{Certificate, CertificateError, CertificateFiles, Challenges, Offer, ProofError, Tls, TlsError},
    websocket::carry_both,
};
use crate::{connection::SpawnDraining, headers::Prepared, metrics::Metrics};

/// The public door; cheap to clone.
#[derive(Clone)]
pub struct Ingress(Arc<Shared>);

struct Shared {
    routes: Routes,
    sites: Arc<dyn Sites>,
    dispatch: Arc<dyn Dispatch>,
    settings: Settings,
    clock: Clock,
    tasks: Tasks,
    prepared: Prepared,
    protocol: auto::Builder<SpawnDraining>,
    metrics: Metrics,
    challenges: Challenges,
}

impl Ingress {
    /// A door to whatever `sites` and `routes` say, now and later.
    #[must_use]
    pub fn new(
        routes: Routes,
        sites: Arc<dyn Sites>,
        dispatch: Arc<dyn Dispatch>,
        settings: Settings,
        clock: Clock,
        tasks: Tasks,
        metrics: &telemetry::Metrics,
    ) -> Self {
        let prepared = Prepared::new(settings.colo.clone());
        let protocol = connection::protocol(&tasks);
        let metrics = Metrics::new(metrics);
        let challenges = Challenges::default();
        Self(Arc::new(Shared {
            routes,
            sites,
            dispatch,
            settings,
            clock,
            tasks,
            prepared,
            protocol,
            metrics,
            challenges,
        }))
    }

    /// Where to say what both doors answer to an ACME server that validates a host.
    #[must_use]
    pub fn challenges(&self) -> Challenges {
        self.0.challenges.clone()
    }

    /// Takes in connections until the tasks are stopped. The connections are tasks of their own: they finish what they
    /// began, within the drain timeout, and [`Tasks::stop`] waits for them.
    pub async fn serve(self, listener: TcpListener) {
        connection::accept_all(&self, &listener, None).await;
    }

    /// The same over TLS, with certificates that are read again when their files change.
    pub async fn serve_tls(self, listener: TcpListener, tls: Tls) {
        self.0.tasks.spawn("certificates", tls.clone().watch(self.0.settings.certificate_look_every));
        connection::accept_all(&self, &listener, Some(tls)).await;
    }
}

impl fmt::Debug for Ingress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ingress").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
