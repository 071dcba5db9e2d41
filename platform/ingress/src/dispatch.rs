//! How a request reaches a version's process. The engine is one way; a test's fake process is another.

use std::fmt;

use engine::{Engine, StartError};
use futures_util::future::BoxFuture;
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
    /// Keeps the process awake while a connection that was taken over lives.
    pub hold: Option<Box<dyn Send>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answer").field("response", &self.response).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum DispatchError {
    /// There is no process.
    Start(StartError),
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
            let lease = self.acquire(version).await.map_err(DispatchError::Start)?;
            match lease.send(request.map(|body| body.map_err(Into::into).boxed_unsync())).await {
                Ok(response) => {
                    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    let hold = is_upgrade.then(|| Box::new(lease) as Box<dyn Send>);
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
