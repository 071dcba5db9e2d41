//! One connection from a Worker: each request on it is carried to an origin, to a Worker of this installation, or, for
//! `CONNECT` and WebSockets, turned into a byte stream. It leaves opening connections to `dial`.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{HOST, HeaderValue},
    http::uri::Scheme,
    server::conn::http1,
    service::service_fn,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use model::Caller;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::UnixStream,
    time::timeout,
};

use crate::{Outlet, Shared, address::plain_host, failure::Failure, headers, limits};

/// Mail leaves through other doors (Cloudflare: TCP sockets page, "Considerations").
const MAIL_PORT: u16 = 25;

/// Carries what comes over `connection` until either side ends it.
pub(crate) async fn serve(state: Connection, connection: UnixStream) {
    let state = Arc::new(state);
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let served = http1::Builder::new()
        .auto_date_header(false)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_headers(limits::HEADERS_MAX)
        // workerd keeps idle connections for as long as it likes; their number is limited.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(script.name = %state.caller.script, %error, "A Worker's connection broke off");
    }
    let tunnel = state.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(tunnel) = tunnel {
        tunnel.await;
    }
}

/// What one connection knows.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    outlet: Arc<Outlet>,
    caller: Arc<Caller>,
    /// What is left to do when a request has turned the connection into a byte stream. Kept here rather than spawned,
    /// so that whoever drops the connection ends it too.
    tunnel: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, outlet: Arc<Outlet>, caller: Arc<Caller>) -> Self {
        Self { shared, outlet, caller, tunnel: Mutex::new(None) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let began = self.shared.clock.monotonic();
        let method = request.method().clone();
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answered =
            if method == Method::CONNECT { self.connect(request).await } else { self.fetch(request).await };
        let failure = answered.as_ref().err().map(ToString::to_string);
        let response = answered.unwrap_or_else(Response::from);
        let status = response.status().as_u16();
        let duration_us = began.elapsed().as_micros();
        tracing::debug!(script.name = %self.caller.script, %method, host, status, failure, duration_us, "Carried a request");
        response
    }

    /// A socket: `CONNECT host:port`, then bytes.
    async fn connect(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let authority = request.uri().authority().ok_or(Failure::NoHost)?;
        let port = authority.port_u16().ok_or(Failure::NoHost)?;
        if port == MAIL_PORT {
            return Err(Failure::MailPort);
        }
        let origin = self.outlet.dialer.dial(authority.host(), port).await?;
        self.tunnel_later(hyper::upgrade::on(&mut request), async { Ok(origin) });
        Ok(Response::new(Body::empty()))
    }

    /// A subrequest, to one of our own hosts or to an origin.
    async fn fetch(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let (mut parts, body) = request.into_parts();
        let url = without_credentials(&parts.uri).ok_or(Failure::NoHost)?;
        let host = plain_host(url.host().ok_or(Failure::NoHost)?);
        let is_websocket = headers::asks_for_websocket(&parts.headers);
        let is_local = self.shared.policy.fixed(&host).is_none() && self.shared.local.serves(&host);

        headers::strip(&mut parts.headers, is_websocket);
        parts.headers.insert(HOST, host_header(&url).ok_or(Failure::NoHost)?);
        self.outlet.sign(&mut parts.headers);
        parts.uri = url;
        let request = Request::from_parts(parts, body);

        if !is_local {
            return self.fetch_from_origin(request, is_websocket).await;
        }
        let mut response = self.shared.local.dispatch(Arc::clone(&self.caller), request.map(Body::new)).await;
        let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::strip(response.headers_mut(), is_upgraded);
        Ok(response)
    }

    async fn fetch_from_origin(
        &self,
        mut request: Request<Incoming>,
        is_websocket: bool,
    ) -> Result<Response<Body>, Failure> {
        let from_worker = request.extensions_mut().remove::<OnUpgrade>();
        *request.version_mut() = Version::HTTP_11;
        let mut response = self.send(request).await?;
        let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgraded {
            // An origin that changes the protocol unasked would leave both sides speaking different ones.
            let from_worker = from_worker.filter(|_| is_websocket).ok_or(Failure::NoAnswer)?;
            let to_origin = hyper::upgrade::on(&mut response);
            self.tunnel_later(from_worker, async { to_origin.await.map(TokioIo::new) });
        }
        headers::strip(response.headers_mut(), is_upgraded);
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(Body::new))
    }

    /// Sends the request and waits for the head of its answer, for as long as the body moves and a while longer.
    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
        let frames_sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&frames_sent);
        let counted = request.map(|body| {
            Body::new(body.inspect_frame(move |_frame| {
                counter.fetch_add(1, Ordering::Relaxed);
            }))
        });
        let answer = self.outlet.client.request(counted);
        let answered = while_moving(answer, &frames_sent, self.shared.settings.answer_timeout).await?;
        answered.map_err(|error| Failure::from_client(&error))
    }

    /// Once this connection has turned into a byte stream, pumps it to and from `origin`.
    fn tunnel_later<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        from_worker: OnUpgrade,
        origin: impl Future<Output = hyper::Result<T>> + Send + 'static,
    ) {
        let tunnel = async move {
            let (Ok(worker), Ok(mut origin)) = (from_worker.await, origin.await) else { return };
            pump(&mut TokioIo::new(worker), &mut origin).await;
        };
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(tunnel));
    }
}

/// Waits for `answer` until `frames_sent` has stood still for `limit` (for twice that, if it began to stand just after a
/// look at it).
async fn while_moving<F: Future + Unpin>(
    mut answer: F,
    frames_sent: &AtomicU64,
    limit: Duration,
) -> Result<F::Output, Failure> {
    let mut frames_seen = 0;
    loop {
        if let Ok(answered) = timeout(limit, &mut answer).await {
            return Ok(answered);
        }
        let frames_now = frames_sent.load(Ordering::Relaxed);
        if frames_now == frames_seen {
            return Err(Failure::AnswerTimedOut);
        }
        frames_seen = frames_now;
    }
}

async fn pump(worker: &mut TokioIo<Upgraded>, origin: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let size = limits::TUNNEL_BUFFER_BYTES;
    // How a byte stream ends concerns its two ends: both see it closed.
    let _ = copy_bidirectional_with_sizes(worker, origin, size, size).await;
}

/// The URL for an http or https host, less a user name and password: browsers and workerd do not send those.
fn without_credentials(url: &Uri) -> Option<Uri> {
    let scheme = url.scheme().filter(|scheme| [&Scheme::HTTP, &Scheme::HTTPS].contains(scheme))?;
    let authority = url.authority()?.as_str();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme(scheme.clone()).authority(host_and_port).path_and_query(path).build().ok()
}

/// What `Host` says for this URL: a port only where it is not the scheme's own.
fn host_header(url: &Uri) -> Option<HeaderValue> {
    let authority = url.authority()?;
    let own_port = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let is_own_port = authority.port_u16() == Some(own_port);
    let text = if is_own_port { authority.host() } else { authority.as_str() };
    HeaderValue::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        task::Poll,
        time::Duration,
    };

    use super::{Failure, while_moving};

    #[tokio::test]
    async fn an_answer_is_waited_for_while_the_request_moves() {
        let frames_sent = AtomicU64::new(0);
        // Each look at the answer finds one more frame sent; after five the answer is there.
        let answer = std::future::poll_fn(|_context| match frames_sent.fetch_add(1, Ordering::Relaxed) {
            5 => Poll::Ready("answer"),
            _ => Poll::Pending,
        });
        assert_eq!(while_moving(answer, &frames_sent, Duration::from_millis(1)).await, Ok("answer"));

        let never = std::future::pending::<()>();
        let waited = while_moving(never, &frames_sent, Duration::from_millis(1)).await;
        assert_eq!(waited, Err(Failure::AnswerTimedOut));
    }
}
