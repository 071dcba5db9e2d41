//! HTTP/1.1 connections to one process, kept and used again.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, upgrade::Upgraded};
use tasks::Tasks;

use crate::{
    config::RPC_HOST,
    folder::Folder,
    link::{Link, SentBody},
};

/// Idle connections kept for one process. workerd serves one request at a time on each.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// Any request body.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The connections to one socket of a process.
#[derive(Debug)]
pub(crate) struct Pool {
    socket: String,
    idle: Mutex<Vec<Link>>,
    tasks: Tasks,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError {
    /// The request, if nothing of it reached the process: it may be sent again.
    pub request: Option<Request<RequestBody>>,
    /// What happened.
    pub cause: String,
    /// Whether the process broke off, rather than the request's own body.
    pub is_process_gone: bool,
}

impl Pool {
    pub(crate) fn new(socket: String, tasks: Tasks) -> Self {
        Self { socket, idle: Mutex::default(), tasks }
    }

    /// Sends one request; the answer's body gives the connection back when it ends.
    pub(crate) async fn send(
        self: &Arc<Self>,
        folder: &Folder,
        mut request: Request<RequestBody>,
    ) -> Result<Response<PooledBody>, SendError> {
        loop {
            let (mut link, is_fresh) = match self.take_idle() {
                Some(link) => (link, false),
                None => match self.connect(folder).await {
                    Ok(link) => (link, true),
                    Err(error) => {
                        let cause = format!("connect: {error}");
                        return Err(SendError { request: Some(request), cause, is_process_gone: true });
                    }
                },
            };
            match link.exchange(request, &self.tasks).await {
                Ok(answer) => {
                    let pool = Arc::clone(self);
                    return Ok(answer.map(|body| PooledBody { body, link: Some(link), pool }));
                }
                Err(mut error) => match error.take_message().map(|unsent| unsent.map(SentBody::into_inner)) {
                    // A kept connection may have been closed meanwhile; a new one says whether the process lives.
                    Some(unsent) if !is_fresh => request = unsent,
                    unsent => {
                        let error = error.into_error();
                        let is_process_gone = !error.is_user();
                        return Err(SendError { request: unsent, cause: error.to_string(), is_process_gone });
                    }
                },
            }
        }
    }

    /// Opens a stream for calls from another Worker: what goes over it is workerd's own affair.
    pub(crate) async fn open_rpc(&self, folder: &Folder) -> io::Result<Upgraded> {
        let mut link = self.connect(folder).await?;
        let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::connect(RPC_HOST).body(body).map_err(io::Error::other)?;
        let answer = link.exchange(request, &self.tasks).await;
        let answer = answer.map_err(|error| io::Error::other(error.into_error()))?;
        if !answer.status().is_success() {
            return Err(io::Error::other(format!("workerd answered CONNECT with {}", answer.status())));
        }
        hyper::upgrade::on(answer).await.map_err(io::Error::other)
    }

    /// Closes the connections that the process has closed.
    pub(crate) fn sweep(&self) {
        self.idle().retain_mut(Link::rest);
    }

    fn take_idle(&self) -> Option<Link> {
        self.idle().pop()
    }

    fn put_idle(&self, mut link: Link) {
        if !link.rest() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(link);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, folder: &Folder) -> io::Result<Link> {
        let stream = folder.connect(&self.socket).await?;
        Link::open(stream).await.map_err(io::Error::other)
    }
}

/// The body of an answer; its connection returns to the pool when the body has ended.
#[derive(Debug)]
pub(crate) struct PooledBody {
    body: Incoming,
    link: Option<Link>,
    pool: Arc<Pool>,
}

impl PooledBody {
    fn give_back(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.put_idle(link);
        }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, link, .. } = &mut *self;
        let frame = std::task::ready!(match link {
            Some(link) => link.poll_frame(body, context),
            None => Pin::new(body).poll_frame(context),
        });
        match &frame {
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(_) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PooledBody {
    fn drop(&mut self) {
        // An empty body is never polled; a body that was given up half way closes its connection.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
