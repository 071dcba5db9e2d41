//! How a request reaches a version's process. The engine is one way; a test's fake process is another.

use std::fmt;

use engine::{Engine, StartError};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use model::VersionId;

use crate::{Body, RequestBody};

/// Sends requests to the processes of versions.
pub trait Dispatch: Send + Sync {
    /// Sends one request to a version's process, which is started if it does not run. The request is in origin form,
    /// carries `Host` and no header that belongs to the client's connection.
    fn send<'a>(
        &'a self,
        version: VersionId,
        request: Request<RequestBody>,
    ) -> BoxFuture<'a, Result<Answer, DispatchError>>;
}

/// What a process said.
pub struct Answer {
    /// Its answer; one with status 101 can be taken over with `hyper::upgrade::on`.
    pub response: Response<Body>,
    /// For a connection that is taken over.
    pub hold: Option<Hold>,
}

/// What ties a connection that was taken over to its process.
pub struct Hold {
    /// Keeps the process awake.
    pub awake: Box<dyn Send>,
    /// Ends when the process is about to: the client is to be sent away, and `awake` dropped.
    pub parting: BoxFuture<'static, ()>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answer").field("response", &self.response).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hold(…)")
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum DispatchError {
    /// There is no process.
    Start(StartError),
    /// Another version answers now; nothing of the request reached a process: here it is again.
    Replaced(Box<Request<RequestBody>>),
    /// Nothing of the request reached a process: here it is again.
    Unsent {
        /// As it was given.
        request: Box<Request<RequestBody>>,
        /// What happened.
        cause: String,
    },
    /// Some of the request reached a process, and no answer came.
    Lost(String),
}

impl Dispatch for Engine {
    fn send<'a>(
        &'a self,
        version: VersionId,
        request: Request<RequestBody>,
    ) -> BoxFuture<'a, Result<Answer, DispatchError>> {
        Box::pin(async move {
            let lease = match self.acquire(version).await {
                Ok(lease) => lease,
                Err(StartError::Replaced(_)) => return Err(DispatchError::Replaced(Box::new(request))),
                Err(error) => return Err(DispatchError::Start(error)),
            };
            match lease.send(request.map(|body| body.map_err(Into::into).boxed_unsync())).await {
                Ok(response) => {
                    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    let hold =
                        is_upgrade.then(|| Hold { parting: lease.parting().boxed(), awake: Box::new(lease) });
                    Ok(Answer { response: response.map(Body::process), hold })
                }
                Err(error) => Err(match error.request {
                    Some(request) => {
                        let request = Box::new(request.map(RequestBody::unsent));
                        DispatchError::Unsent { request, cause: error.cause }
                    }
                    None => DispatchError::Lost(error.cause),
                }),
            }
        })
    }
}
