//! (being written) The processes and how requests reach them.

use bytes::Bytes;
use http::{Request, Response};
use model::{ScriptName, VersionId};

/// Runs the processes; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {}

/// Why no process answers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The version's own fault: it throws in its global scope, does not parse …; the text is for its author.
    #[error("{0}")]
    Rejected(String),
    /// The version does not exist (any more).
    #[error("version {0} does not exist")]
    Missing(VersionId),
    /// Our fault or the machine's: no engine, crash loop, no memory. The text says what to do.
    #[error("{0}")]
    Unavailable(String),
}

/// The right to use a version's process: while one is held, the process is not put to sleep.
#[derive(Debug)]
pub struct Lease {}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError<B> {
    /// The request, if nothing of it reached the process: it may be sent again.
    pub request: Option<Request<B>>,
    /// What happened.
    pub cause: String,
}

/// The body of an answer; keeps the process awake until it was read or dropped.
#[derive(Debug)]
pub struct ProcessBody {}

impl Engine {
    /// The process of a version: the running one, or a new one (the caller waits while it starts).
    pub async fn acquire(&self, _script: &ScriptName, _version: VersionId) -> Result<Lease, StartError> {
        todo!()
    }
}

impl Lease {
    /// Sends a request to the Worker's fetch handler over a pooled HTTP/1.1 connection. Answers with `101` can be taken
    /// over with `hyper::upgrade::on`. The request's URI is in origin form and it carries a `Host` header.
    pub async fn send<B>(&self, _request: Request<B>) -> Result<Response<ProcessBody>, SendError<B>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        todo!()
    }

    /// Whether the process has ended since the lease was taken.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        todo!()
    }
}

impl http_body::Body for ProcessBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        todo!()
    }
}
