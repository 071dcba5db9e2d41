//! HTTP/1.1 connections to one process, kept and used again.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tasks::Tasks;

use crate::{config::RPC_HOST, folder::Folder};

/// Idle connections kept for one process. workerd serves one request at a time on each.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// Largest head of an answer that is read; Workers may set large cookies (Cloudflare: response headers, 128 KB).
const ANSWER_HEAD_BYTES_MAX: usize = 256 * 1024;

/// Any request body.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Sender = http1::SendRequest<RequestBody>;

/// The connections to one socket of a process.
#[derive(Debug)]
pub(crate) struct Pool {
    socket: String,
    idle: Mutex<Vec<Sender>>,
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
            let (mut sender, is_fresh) = match self.take_idle() {
                Some(sender) => (sender, false),
                None => match self.connect(folder).await {
                    Ok(sender) => (sender, true),
                    Err(error) => {
                        let cause = format!("connect: {error}");
                        return Err(SendError { request: Some(request), cause, is_process_gone: true });
                    }
                },
            };
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    let pool = Arc::clone(self);
                    return Ok(answer.map(|body| PooledBody { body, sender: Some(sender), pool }));
                }
                Err(mut error) => match error.take_message() {
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

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not ready is still sending the body of a request that was answered early: it is given up.
        std::iter::from_fn(|| idle.pop())
            .find_map(|mut sender| matches!(sender.ready().now_or_never(), Some(Ok(()))).then_some(sender))
    }

    fn put_idle(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }

    /// Opens a stream for calls from another Worker: what goes over it is workerd's own affair.
    pub(crate) async fn open_rpc(&self, folder: &Folder) -> io::Result<Upgraded> {
        let mut sender = self.connect(folder).await?;
        let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::connect(RPC_HOST).body(body).map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if !answer.status().is_success() {
            return Err(io::Error::other(format!("workerd answered CONNECT with {}", answer.status())));
        }
        hyper::upgrade::on(answer).await.map_err(io::Error::other)
    }

    async fn connect(&self, folder: &Folder) -> io::Result<Sender> {
        let stream = folder.connect(&self.socket).await?;
        let handshake = http1::Builder::new()
            .max_buf_size(ANSWER_HEAD_BYTES_MAX)
            .preserve_header_case(false)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        self.tasks.spawn_draining("process-connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "A connection to a process ended early");
            }
        });
        Ok(sender)
    }
}

/// The body of an answer; its connection returns to the pool when the body has ended.
#[derive(Debug)]
pub(crate) struct PooledBody {
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<Pool>,
}

impl PooledBody {
    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.put_idle(sender);
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
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
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
