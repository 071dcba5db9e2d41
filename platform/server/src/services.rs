//! Service bindings: a Worker calls another one. Its requests and its calls (JS RPC, a stream that only workerd
//! understands) arrive on the caller's own socket; they go to the target's process, which is started if it sleeps.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, header},
};
use engine::{CallsLease, Engine, Lease, RequestBody};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use model::{Caller, ServiceTarget, VersionId};
use tasks::Tasks;
use workerd_wire::headers::{BINDING_HEADER, binding_authority};
use workers::{Route, Routes};

use crate::calls;

/// How often a request that did not reach its target is sent again.
const SEND_ATTEMPTS_MAX: usize = 3;
const ENDED_EACH_TIME: &str = "the Worker's process ended each time";
const NOT_DEPLOYED: &str = "the Worker has no deployment";
/// Bytes on their way between two Workers, each direction.
const SPLICE_BUFFER_BYTES: usize = 16 * 1024;

/// What calls between Workers need.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) engine: Engine,
    pub(crate) routes: Routes,
    pub(crate) tasks: Tasks,
}

/// One binding of a Worker to another.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) services: Services,
    pub(crate) caller: Arc<Caller>,
    pub(crate) name: String,
    pub(crate) target: ServiceTarget,
}

impl Binding {
    /// Answers a request, or takes over a stream of calls.
    pub(crate) async fn answer(self, request: Request<Body>) -> Response<Body> {
        if request.method() == Method::CONNECT {
            let caller_side = hyper::upgrade::on(request);
            self.services.tasks.clone().spawn_draining("service-calls", calls::carry(caller_side, self));
            return Response::new(Body::empty());
        }
        self.send(request).await.unwrap_or_else(|cause| refusal(self.failed(&cause)))
    }

    /// Logs a failure, and says it to the caller's author.
    pub(crate) fn failed(&self, cause: &str) -> String {
        let (name, target) = (&self.name, &self.target.script);
        tracing::warn!(script = %self.caller.script, binding = name, %target, cause, "A service binding failed");
        format!("service binding \"{name}\" to Worker \"{target}\": {cause}")
    }

    /// The version for one call.
    pub(crate) fn draw(&self) -> Result<VersionId, String> {
        self.route()?.choose(rand::random()).ok_or_else(|| NOT_DEPLOYED.to_owned())
    }

    /// Reaches the process of a version, the newest if that one has gone meanwhile, for calls.
    pub(crate) async fn open(
        &self,
        drawn: Option<VersionId>,
    ) -> Result<(VersionId, Upgraded, CallsLease), String> {
        let mut drawn = drawn;
        for _ in 0..SEND_ATTEMPTS_MAX {
            let version = drawn.take().map_or_else(|| self.draw(), Ok)?;
            let lease = self.lease(version).await?;
            if let Ok((stream, lease)) = lease.open_rpc().await {
                return Ok((version, stream, lease));
            }
        }
        Err(ENDED_EACH_TIME.to_owned())
    }

    fn route(&self) -> Result<Arc<Route>, String> {
        self.services.routes.find_script(&self.target.script).ok_or_else(|| "the Worker does not exist".to_owned())
    }

    async fn lease(&self, version: VersionId) -> Result<Lease, String> {
        let lease = self.services.engine.acquire_by(version, &self.target.entrypoint).await;
        lease.map_err(|error| error.to_string())
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, String> {
        request.headers_mut().remove(BINDING_HEADER);
        let caller_side =
            request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        *request.extensions_mut() = axum::http::Extensions::new();
        let mut spare = engine::copy_if_repeatable(&request);
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        for _ in 0..SEND_ATTEMPTS_MAX {
            let version = ingress::version_for(&*self.route()?, request.headers()).ok_or(NOT_DEPLOYED)?;
            let lease = self.lease(version).await?;
            let mut response = match lease.send(request).await {
                Ok(response) => response,
                Err(error) => match error.request.or_else(|| Some(spare.take()?.map(|()| nothing()))) {
                    Some(again) => {
                        request = again;
                        continue;
                    }
                    None => return Err(error.cause),
                },
            };
            if let Some(caller_side) = caller_side
                && response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                let target_side = hyper::upgrade::on(&mut response);
                self.services.splice(caller_side, target_side, lease);
            } else {
                strip_connection(response.headers_mut());
            }
            return Ok(response.map(Body::new));
        }
        Err(ENDED_EACH_TIME.to_owned())
    }
}

impl Services {
    /// Carries a WebSocket's bytes both ways until one side ends; the target stays awake until then.
    fn splice(&self, caller: OnUpgrade, target: OnUpgrade, lease: Lease) {
        self.tasks.spawn_draining("service-splice", async move {
            let (Ok(caller), Ok(target)) = (caller.await, target.await) else { return };
            let (mut caller, mut target) = (TokioIo::new(caller), TokioIo::new(target));
            let size = SPLICE_BUFFER_BYTES;
            // An error is an end: both sides see their stream close.
            tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut target, size, size).await.ok();
            drop(lease);
        });
    }
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

fn refusal(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
