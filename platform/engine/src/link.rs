//! One HTTP/1.1 connection to a process, without a task of its own: whoever waits for its answer drives it, so that a request
//! wakes no second task, on no second thread. Which connection serves which request is `pool`'s affair.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tasks::Tasks;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

use crate::pool::RequestBody;

/// Largest head of an answer that is read; Workers may set large cookies (Cloudflare: response headers, 128 KB).
const ANSWER_HEAD_BYTES_MAX: usize = 256 * 1024;

/// What reads from and writes to the socket.
type Connection = BoxFuture<'static, hyper::Result<()>>;

/// A connection that serves one request at a time.
pub(crate) struct Link {
    sender: http1::SendRequest<SentBody>,
    /// `None` once it has ended, was taken over, or has a task of its own.
    connection: Option<Connection>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("is_driven_here", &self.connection.is_some()).finish()
    }
}

impl Link {
    pub(crate) async fn open(stream: UnixStream) -> hyper::Result<Self> {
        let handshake = http1::Builder::new()
            .max_buf_size(ANSWER_HEAD_BYTES_MAX)
            .preserve_header_case(false)
            .handshake(TokioIo::new(Socket { stream, is_deaf: false }));
        let (sender, connection) = handshake.await?;
        Ok(Self { sender, connection: Some(connection.with_upgrades().boxed()) })
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        tasks: &Tasks,
    ) -> Result<Response<Incoming>, TrySendError<Request<SentBody>>> {
        let (request, is_sent) = SentBody::watch(request);
        let mut answer = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let answer =
            poll_fn(|context| drive(connection, context, |context| answer.as_mut().poll(context))).await?;
        // After an early answer the rest of the request must go on even while the client does not take the answer.
        if !is_sent() || answer.extensions().get::<OnUpgrade>().is_some() {
            self.leave_to_a_task(tasks);
        }
        Ok(answer)
    }

    /// Waits for more of the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        drive(&mut self.connection, context, |context| Pin::new(&mut *body).poll_frame(context))
    }

    /// Whether it can serve another request. Nobody is woken by it from now on: its end is found when it is asked again.
    pub(crate) fn rest(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        advance(&mut self.connection, &mut context);
        self.connection.is_some() && self.sender.is_ready()
    }

    fn leave_to_a_task(&mut self, tasks: &Tasks) {
        let Some(connection) = self.connection.take() else { return };
        tasks.spawn_draining("process-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "A connection to a process ended early");
            }
        });
    }
}

/// A socket to a process. A Worker may answer without having read the request's body, and workerd then closes the connection:
/// what is still to be written goes nowhere, and is no reason not to read the answer that lies there.
struct Socket {
    stream: UnixStream,
    is_deaf: bool,
}

impl Socket {
    fn written(&mut self, offered: usize, outcome: io::Result<usize>) -> io::Result<usize> {
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                self.is_deaf = true;
                Ok(offered)
            }
            outcome => outcome,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.written(bytes.len(), outcome))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        if self.is_deaf {
            return Poll::Ready(Ok(offered));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        Poll::Ready(self.written(offered, outcome))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Polls for something that only the connection can bring. The connection is asked first with a waker that wakes nobody:
/// what it brings at once would else wake the very task that is here to receive it.
fn drive<T>(
    connection: &mut Option<Connection>,
    context: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if connection.is_none() {
        return poll(context);
    }
    let mut quiet = Context::from_waker(Waker::noop());
    if let Poll::Ready(brought) = poll(&mut quiet) {
        return Poll::Ready(brought);
    }
    advance(connection, &mut quiet);
    if let Poll::Ready(brought) = poll(&mut quiet) {
        return Poll::Ready(brought);
    }
    advance(connection, context);
    poll(context)
}

/// Lets a connection read and write what it can; one that has ended is dropped, which tells those who wait for it.
fn advance(connection: &mut Option<Connection>, context: &mut Context<'_>) {
    let Some(running) = connection else { return };
    if let Poll::Ready(ended) = running.as_mut().poll(context) {
        *connection = None;
        if let Err(error) = ended {
            tracing::debug!(%error, "A connection to a process ended early");
        }
    }
}

/// The body of a request; that it was dropped says that all of it was taken.
pub(crate) struct SentBody {
    body: RequestBody,
    _unsent: Option<Arc<()>>,
}

impl SentBody {
    /// Also says afterwards whether the body was taken to its end.
    fn watch(request: Request<RequestBody>) -> (Request<Self>, impl Fn() -> bool) {
        let unsent = (!request.body().is_end_stream()).then(Arc::default);
        let watch = unsent.clone();
        let is_sent = move || watch.as_ref().is_none_or(|watch| Arc::strong_count(watch) == 1);
        (request.map(|body| Self { body, _unsent: unsent }), is_sent)
    }

    /// The body as it was given.
    pub(crate) fn into_inner(self) -> RequestBody {
        self.body
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
