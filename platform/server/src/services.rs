//! Bindings that lead to another process: a Worker calls another one, or a Durable Object that another process runs. Its
//! requests and its calls (JS RPC, a stream that only workerd understands) arrive on the caller's own socket; they go to the
//! target's process, which is started if it sleeps.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};
use engine::{CallsLease, Engine, Lease, RequestBody, StartError};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use ingress::CF_EW_VIA;
use model::{Caller, ObjectNamespaceId, ScriptName, ServiceTarget, VersionId};
use product::Runtime as _;
use tasks::Tasks;
use tokio_util::sync::CancellationToken;
use workerd_wire::headers::{BINDING_HEADER, THREW_HEADER, binding_authority};
use workers::{Route, Routes};

use crate::calls;

/// How often a process is looked for: each time the one before was replaced or ended.
const ATTEMPTS_MAX: usize = 10;
/// Between the commit of a deployment that moves objects and its publication, and from there to the end of the old processes,
/// lie some milliseconds each.
const REPLACED_PAUSE: Duration = Duration::from_millis(20);
const ENDED_EACH_TIME: &str = "the Worker's process ended each time";
const NOT_DEPLOYED: &str = "the Worker has no deployment";
/// Through how many Workers a request may pass (Cloudflare: service bindings page, 32 invocations for each request).
const INVOCATIONS_MAX: u32 = 32;
/// Requests over one Worker's service bindings that wait for an answer; fewer than the 2048 connections that its process
/// has to us. A Worker that calls itself without end, with a new request each time, comes here.
const REQUESTS_MAX: usize = 1536;

/// Nobody could say what became of a request: its connection ends without an answer, which workerd takes for what it is.
#[derive(Debug, thiserror::Error)]
#[error("the process ended over a request")]
pub(crate) struct Lost;

/// What calls between Workers need.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) engine: Engine,
    pub(crate) routes: Routes,
    pub(crate) tasks: Tasks,
    pub(crate) waiting: Waiting,
}

/// What a binding leads to.
#[derive(Clone)]
pub(crate) enum Target {
    /// Another Worker.
    Service(ServiceTarget),
    /// The objects of a class.
    Objects {
        /// The Worker that had the class when the binding was made.
        script: ScriptName,
        /// What it called it.
        class: String,
        /// What counts.
        namespace: ObjectNamespaceId,
    },
}

/// One binding of a Worker to another process.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) services: Services,
    pub(crate) caller: Arc<Caller>,
    pub(crate) name: String,
    pub(crate) target: Target,
}

/// Why a request has no answer.
enum Failure {
    /// The text is for the caller's author.
    Refused(String),
    /// Something of it reached a process that ended over it.
    Broken(String),
}

impl From<String> for Failure {
    fn from(cause: String) -> Self {
        Self::Refused(cause)
    }
}

impl From<&str> for Failure {
    fn from(cause: &str) -> Self {
        Self::Refused(cause.to_owned())
    }
}

impl Binding {
    /// Answers a request, or takes over a stream of calls.
    pub(crate) async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Lost> {
        if request.method() == Method::CONNECT {
            let caller_side = hyper::upgrade::on(request);
            self.services.tasks.clone().spawn_draining("service-calls", calls::carry(caller_side, self));
            return Ok(Response::new(Body::empty()));
        }
        match (self.send(request).await, &self.target) {
            (Ok(response), _) => Ok(response),
            (Err(Failure::Refused(cause) | Failure::Broken(cause)), Target::Service(_)) => {
                Ok(refusal(self.failed(&cause)))
            }
            (Err(Failure::Refused(cause)), Target::Objects { .. }) => Ok(exception(&self.failed(&cause))),
            (Err(Failure::Broken(cause)), Target::Objects { .. }) => {
                self.failed(&cause);
                Err(Lost)
            }
        }
    }

    /// Logs a failure, and says it to the caller's author.
    pub(crate) fn failed(&self, cause: &str) -> String {
        let (caller, name) = (&self.caller.script, &self.name);
        match &self.target {
            Target::Service(ServiceTarget { script: target, .. }) => {
                tracing::warn!(script = %caller, binding = name, %target, cause, "A service binding failed");
                format!("service binding \"{name}\" to Worker \"{target}\": {cause}")
            }
            Target::Objects { script: target, class, .. } => {
                tracing::warn!(script = %caller, binding = name, %target, class, cause, "A Durable Object binding failed");
                format!(
                    "Durable Object binding \"{name}\" to class \"{class}\" of Worker \"{target}\": {cause}"
                )
            }
        }
    }

    /// The version for one call.
    pub(crate) fn draw(&self) -> Result<VersionId, String> {
        let route = self.route()?;
        let version = match &self.target {
            Target::Service(_) => route.choose(rand::random()),
            Target::Objects { .. } => route.owner,
        };
        version.ok_or_else(|| NOT_DEPLOYED.to_owned())
    }

    /// The version for one request.
    fn version_for(&self, headers: &HeaderMap) -> Result<VersionId, String> {
        match &self.target {
            Target::Service(_) => {
                ingress::version_for(&*self.route()?, headers).ok_or_else(|| NOT_DEPLOYED.to_owned())
            }
            Target::Objects { .. } => self.draw(),
        }
    }

    /// Reaches the process of a version for calls; that of the newest one if it was replaced meanwhile.
    pub(crate) async fn open(
        &self,
        mut drawn: Option<VersionId>,
    ) -> Result<(VersionId, Upgraded, CallsLease), String> {
        for _ in 0..ATTEMPTS_MAX {
            let version = drawn.take().map_or_else(|| self.draw(), Ok)?;
            let Some(lease) = self.lease(version).await? else { continue };
            match lease.open_rpc().await {
                Ok((stream, lease)) => return Ok((version, stream, lease)),
                Err(error) => tracing::debug!(%version, %error, "Opening a stream of calls again"),
            }
        }
        Err(ENDED_EACH_TIME.to_owned())
    }

    fn route(&self) -> Result<Arc<Route>, String> {
        let routes = &self.services.routes;
        match &self.target {
            Target::Service(target) => {
                routes.find_script(&target.script).ok_or_else(|| "the Worker does not exist".to_owned())
            }
            Target::Objects { namespace, .. } => routes
                .find_objects(namespace)
                .ok_or_else(|| "the class or its Worker was deleted, and its objects with it".to_owned()),
        }
    }

    /// `None` if the version was replaced meanwhile.
    async fn lease(&self, version: VersionId) -> Result<Option<Lease>, String> {
        let engine = &self.services.engine;
        let entrypoint = match &self.target {
            Target::Service(target) => &target.entrypoint,
            // That a version runs objects which are not its own to run, the engine prevents.
            Target::Objects { namespace, .. } => {
                let lease = engine.acquire_objects(version, namespace).await;
                if let Ok(None) = lease {
                    tokio::time::sleep(REPLACED_PAUSE).await;
                }
                return lease.map_err(|error| error.to_string());
            }
        };
        let lease = match engine.acquire_by(version, entrypoint).await {
            Err(StartError::Replaced(_)) => return Ok(None),
            acquired => acquired.map_err(|error| error.to_string())?,
        };
        let is_deployed = |route: Arc<Route>| route.versions.iter().any(|share| share.version == version);
        if lease.is_some() && !self.route().is_ok_and(is_deployed) {
            // It was retired before we asked for it: we have started it again, and nobody else would put it to rest.
            engine.retire(vec![version]);
            return Ok(None);
        }
        Ok(lease)
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        request.headers_mut().remove(BINDING_HEADER);
        let caller_side =
            request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        *request.extensions_mut() = axum::http::Extensions::new();
        let invocations_left =
            invocations_left(request.headers()).ok_or("the request passed through too many Workers")?;
        request.headers_mut().insert(CF_EW_VIA, invocations_left.into());
        let _waits = self
            .services
            .waiting
            .enter(self.caller.version)
            .ok_or("too many requests at once; does a Worker call itself without end?")?;
        // What an object did before it was lost is not for us to do again.
        let is_repeatable = matches!(self.target, Target::Service(_));
        let mut spare = is_repeatable.then(|| engine::copy_if_repeatable(&request)).flatten();
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        for _ in 0..ATTEMPTS_MAX {
            let version = self.version_for(request.headers())?;
            let Some(lease) = self.lease(version).await? else { continue };
            let mut response = match lease.send(request).await {
                Ok(response) => response,
                Err(error) => match error.request.or_else(|| Some(spare.take()?.map(|()| nothing()))) {
                    Some(again) => {
                        request = again;
                        continue;
                    }
                    None => return Err(Failure::Broken(error.cause)),
                },
            };
            if let Some(caller_side) = caller_side
                && response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                let target_side = hyper::upgrade::on(&mut response);
                self.carry(caller_side, target_side, lease);
            } else {
                strip_connection(response.headers_mut());
            }
            return Ok(response.map(Body::new));
        }
        Err(ENDED_EACH_TIME.into())
    }

    /// Carries a WebSocket's bytes both ways until one side ends; both processes stay awake until then. A target that is about
    /// to end lets go of its side at once, and the caller gets a Close frame; a caller that is being put to rest is not kept
    /// from it.
    fn carry(&self, caller_side: OnUpgrade, target_side: OnUpgrade, target: Lease) {
        let caller = self.services.engine.process_of(&self.caller);
        self.services.tasks.spawn_draining("service-websocket", async move {
            let parted = CancellationToken::new();
            let awake = async {
                let caller = async {
                    if let Some(caller) = caller {
                        caller.resting().await;
                    }
                };
                let target = async {
                    target.parting().await;
                    parted.cancel();
                    drop(target);
                };
                tokio::join!(caller, target);
                std::future::pending::<()>().await;
            };
            let carried = async {
                let (Ok(caller), Ok(target)) = (caller_side.await, target_side.await) else { return };
                ingress::carry_both(caller, target, &parted).await;
            };
            tokio::select! {
                () = carried => {}
                () = awake => {}
            }
        });
    }
}

/// Requests over service bindings that wait for an answer, by the version that sent them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting(Arc<Mutex<HashMap<VersionId, usize>>>);

/// One such request.
struct Waits {
    waiting: Waiting,
    version: VersionId,
}

impl Waiting {
    fn enter(&self, version: VersionId) -> Option<Waits> {
        let mut counts = self.lock();
        let count = counts.entry(version).or_default();
        if *count == REQUESTS_MAX {
            return None;
        }
        *count += 1;
        Some(Waits { waiting: self.clone(), version })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VersionId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut counts = self.waiting.lock();
        if let Entry::Occupied(mut count) = counts.entry(self.version) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// How many Workers a request may still pass through; known only of one that is passed on with its headers.
fn invocations_left(headers: &HeaderMap) -> Option<u32> {
    let left = headers.get(CF_EW_VIA).and_then(|value| value.to_str().ok()?.parse().ok());
    left.unwrap_or(INVOCATIONS_MAX).min(INVOCATIONS_MAX).checked_sub(1)
}

/// The binding that a CONNECT's authority names, among the caller's.
pub(crate) fn binding_of_connect<'a>(
    caller: &'a Arc<Caller>,
    request: &Request<impl Sized>,
) -> Option<&'a str> {
    let authority = request.uri().authority()?.as_str();
    let host = authority.split(':').next().unwrap_or(authority);
    caller
        .bindings
        .keys()
        .map(String::as_str)
        .find(|name| binding_authority(name, caller.calls_key.reveal()) == host)
}

/// What concerned the connection to the target's process is no business of the caller's.
fn strip_connection(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
}

fn nothing() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What the caller's side of the gate throws.
fn exception(message: &str) -> Response<Body> {
    let error = serde_json::json!({ "name": "Error", "message": message });
    let mut response = refusal(error.to_string());
    response.headers_mut().insert(THREW_HEADER, HeaderValue::from_static("1"));
    response
}

fn refusal(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
