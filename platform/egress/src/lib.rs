#![doc = include_str!("../README.md")]
//!
//! This file owns the door: who may open a connection, and what each connection is given. It leaves the requests to
//! `exchange`.

mod address;
mod dial;
mod exchange;
mod failure;
mod headers;
mod limits;
mod settings;
mod trust;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::body::Body;
use futures_util::future::BoxFuture;
use hyper::{HeaderMap, Request, Response, header::HeaderValue};
use hyper_util::{client::legacy::Client, rt::TokioTimer};
use model::{Caller, VersionId};
use product::ConnectionDoor;
use tasks::{Clock, Tasks};
use tokio::{net::UnixStream, sync::Semaphore};

pub use settings::{Settings, SetupError};

use crate::{address::Policy, dial::Dialer, exchange::Connection};

/// Knows which hosts this installation answers itself, and answers for them: the ingress, as seen from inside.
pub trait LocalHosts: Send + Sync {
    /// Whether `host` (lower case, without port or final dot) is answered here.
    fn serves(&self, host: &str) -> bool;

    /// Answers a request to such a host. Its target is absolute-form, its `Host` is that of the URL; a WebSocket
    /// request keeps `Connection` and `Upgrade`, and is upgraded by whoever answers 101.
    fn dispatch(&self, caller: Arc<Caller>, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// Carries what Workers send out.
pub struct Egress {
    shared: Arc<Shared>,
    /// One entry for each version that has a connection open.
    outlets: Mutex<HashMap<VersionId, Weak<Outlet>>>,
}

impl Egress {
    /// Reads the certificates and checks the settings; opens no socket.
    ///
    /// # Errors
    /// When a certificate file cannot be used or the base domain is no host name.
    pub fn new(
        settings: Settings,
        local: Arc<dyn LocalHosts>,
        tasks: Tasks,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        if HeaderValue::from_str(&settings.base_domain).is_err() {
            return Err(SetupError::BaseDomain(settings.base_domain));
        }
        let shared = Shared {
            tls: trust::client_config(&settings.ca_files)?,
            policy: Policy::new(settings.allow.clone(), &settings.hosts),
            settings,
            local,
            tasks,
            clock,
        };
        Ok(Self { shared: Arc::new(shared), outlets: Mutex::default() })
    }

    /// The outlet of the caller's version, made if this is its first connection.
    fn outlet(&self, caller: &Caller) -> Arc<Outlet> {
        let mut outlets = self.outlets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outlet) = outlets.get(&caller.version).and_then(Weak::upgrade) {
            return outlet;
        }
        outlets.retain(|_, outlet| outlet.strong_count() > 0);
        let outlet = Arc::new(Outlet::new(&self.shared, caller));
        outlets.insert(caller.version, Arc::downgrade(&outlet));
        outlet
    }
}

impl ConnectionDoor for Egress {
    fn serve(&self, caller: Arc<Caller>, connection: UnixStream) -> BoxFuture<'static, ()> {
        let outlet = self.outlet(&caller);
        let Ok(permit) = Arc::clone(&outlet.connections).try_acquire_owned() else {
            tracing::debug!(script.name = %caller.script, "Closed a connection over the limit");
            return Box::pin(std::future::ready(()));
        };
        let connection_state = Connection::new(Arc::clone(&self.shared), outlet, caller);
        Box::pin(async move {
            exchange::serve(connection_state, connection).await;
            drop(permit);
        })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Egress").finish_non_exhaustive()
    }
}

/// What all Workers share.
struct Shared {
    settings: Settings,
    policy: Policy,
    tls: Arc<rustls::ClientConfig>,
    local: Arc<dyn LocalHosts>,
    tasks: Tasks,
    clock: Clock,
}

/// What the connections of one version share, so that no Worker can use up another's: limits and idle origins.
struct Outlet {
    connections: Arc<Semaphore>,
    dialer: Dialer,
    client: Client<Dialer, Body>,
    /// The value of `CF-Worker`.
    worker: HeaderValue,
}

impl Outlet {
    fn new(shared: &Arc<Shared>, caller: &Caller) -> Self {
        let dialer = Dialer::new(Arc::clone(shared));
        let client = Client::builder(OnTasks(shared.tasks.clone()))
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits::IDLE_PER_HOST_MAX)
            .http1_max_buf_size(limits::HEAD_BYTES_MAX)
            .http1_max_headers(limits::HEADERS_MAX)
            .build(dialer.clone());
        let worker = format!("{}.{}", caller.script, shared.settings.base_domain);
        Self {
            connections: Arc::new(Semaphore::new(shared.settings.connections_max)),
            dialer,
            client,
            worker: HeaderValue::from_str(&worker)
                .expect("script names are plain ASCII and `Egress::new` checked the base domain"),
        }
    }

    /// Adds what Cloudflare adds to each subrequest.
    fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(headers::CF_WORKER, self.worker.clone());
    }
}

/// Lets the HTTP client run its connections as tracked tasks.
#[derive(Clone)]
struct OnTasks(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for OnTasks {
    fn execute(&self, future: F) {
        self.0.spawn("origin connection", future);
    }
}
