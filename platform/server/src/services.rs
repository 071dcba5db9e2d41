//! Service bindings: a Worker calls another one. Its requests and its calls (JS RPC, a stream that only workerd
//! understands) arrive on the caller's own socket; they go to the target's process, which is started if it sleeps.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use engine::{CallsLease, Engine, Lease};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use model::{Caller, ServiceTarget, VersionId};
use tasks::Tasks;
use workerd_wire::headers::{BINDING_HEADER, binding_authority};
use workers::Routes;

use crate::calls;

/// How often a request that did not reach its target is sent again.
const SEND_ATTEMPTS_MAX: usize = 3;
/// Bytes on their way between two Workers, each direction.
const SPLICE_BUFFER_BYTES: usize = 16 * 1024;

/// What calls need.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) engine: Engine,
    pub(crate) routes: Routes,
    pub(crate) tasks: Tasks,
}

impl Services {
    /// Answers a request or a call on the caller's binding `name`.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        name: &str,
        target: &ServiceTarget,
        request: Request<Body>,
    ) -> Response<Body> {
        let said = |cause: &str| {
            tracing::warn!(script = %caller.script, binding = name, target = %target.script, cause, "A service binding failed");
            format!("service binding \"{name}\" to Worker \"{}\": {cause}", target.script)
        };
        if request.method() == axum::http::Method::CONNECT {
            let caller_side = hyper::upgrade::on(request);
            match self.call(target).await {
                Ok((target_side, lease)) => {
                    let carry = calls::carry(caller_side, target_side, lease);
                    self.tasks.spawn_draining("service-calls", carry);
                }
                Err(cause) => {
                    let refuse = calls::refuse(caller_side, said(&cause));
                    self.tasks.spawn("service-refusal", refuse);
                }
            }
            return Response::new(Body::empty());
        }
        self.send(target, request).await.unwrap_or_else(|cause| refusal(said(&cause)))
    }

    async fn lease(&self, target: &ServiceTarget) -> Result<(VersionId, Lease), String> {
        let route = self.routes.find_script(&target.script).ok_or("the Worker does not exist")?;
        let version = route.choose(rand::random()).ok_or("the Worker has no deployment")?;
        let lease = self.engine.acquire_by(version, &target.entrypoint).await;
        Ok((version, lease.map_err(|error| error.to_string())?))
    }

    async fn send(
        &self,
        target: &ServiceTarget,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, String> {
        request.headers_mut().remove(BINDING_HEADER);
        let caller_side =
            request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        *request.extensions_mut() = axum::http::Extensions::new();
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        for _ in 0..SEND_ATTEMPTS_MAX {
            let (_, lease) = self.lease(target).await?;
            let mut response = match lease.send(request).await {
                Ok(response) => response,
                Err(error) => match error.request {
                    Some(unsent) => {
                        request = unsent;
                        continue;
                    }
                    None => return Err(error.cause),
                },
            };
            if let Some(caller_side) = caller_side
                && response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                let target_side = hyper::upgrade::on(&mut response);
                self.splice(caller_side, target_side, lease);
            } else {
                strip_connection(response.headers_mut());
            }
            return Ok(response.map(Body::new));
        }
        Err("the Worker's process ended each time".to_owned())
    }

    /// Opens a stream of calls to the target.
    async fn call(&self, target: &ServiceTarget) -> Result<(Upgraded, CallsLease), String> {
        for _ in 0..SEND_ATTEMPTS_MAX {
            let (version, lease) = self.lease(target).await?;
            let Ok((target_side, lease)) = lease.open_rpc().await else { continue };
            // The caller keeps the stream, so it must not begin at a version that was replaced meanwhile. One that is
            // replaced from now on finds this lease and has the stream cut.
            let route = self.routes.find_script(&target.script);
            if !route.is_some_and(|route| route.versions.iter().any(|share| share.version == version)) {
                continue;
            }
            return Ok((target_side, lease));
        }
        Err("the Worker's process ended or was replaced each time".to_owned())
    }

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

fn refusal(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
