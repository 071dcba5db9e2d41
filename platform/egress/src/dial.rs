//! Opens a connection to an origin: looks the name up, asks the policy, connects to exactly what the policy permitted,
//! and speaks TLS where the URL says so. It knows nothing of HTTP.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::{Uri, http::uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Shared,
    address::{Permitted, plain_host},
    failure::Failure,
    limits,
};

/// Dials for one version of a Worker, within its limits.
#[derive(Clone)]
pub(crate) struct Dialer {
    shared: Arc<Shared>,
    origins: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl Dialer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let origins = Arc::new(Semaphore::new(shared.settings.connections_max));
        Self { shared, origins, lookups: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)) }
    }

    /// Connects to `host`, which may be a name or an address in any spelling.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<Origin, Failure> {
        let limit = self.shared.settings.connect_timeout;
        let dialled = async {
            let permit = self.origins.clone().acquire_owned().await.expect("the semaphore is never closed");
            let addresses = self.permitted_addresses(&plain_host(host), port).await?;
            let socket = connect(&addresses, limit).await?;
            Ok(Origin { transport: Transport::Plain(socket), _permit: permit })
        };
        timeout(limit, dialled).await.unwrap_or(Err(Failure::ConnectTimedOut))
    }

    async fn dial_url(&self, url: &Uri) -> Result<Origin, Failure> {
        let host = url.host().ok_or(Failure::NoHost)?;
        let is_https = url.scheme() == Some(&Scheme::HTTPS);
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let origin = self.dial(host, port).await?;
        if is_https { self.secure(origin, host).await } else { Ok(origin) }
    }

    async fn secure(&self, origin: Origin, host: &str) -> Result<Origin, Failure> {
        let Transport::Plain(socket) = origin.transport else { return Ok(origin) };
        let name = ServerName::try_from(plain_host(host)).map_err(|_invalid| Failure::Handshake)?;
        let handshake = TlsConnector::from(Arc::clone(&self.shared.tls)).connect(name, socket);
        let Ok(shaken) = timeout(self.shared.settings.tls_timeout, handshake).await else {
            return Err(Failure::Handshake);
        };
        let stream = shaken.map_err(|error| handshake_failure(&error))?;
        Ok(Origin { transport: Transport::Tls(Box::new(stream)), _permit: origin._permit })
    }

    /// Where to connect for `host`: its fixed address, or those of its addresses that Workers may reach.
    async fn permitted_addresses(&self, host: &str, port: u16) -> Result<Vec<Permitted>, Failure> {
        if let Some(fixed) = self.shared.policy.fixed(host) {
            return Ok(vec![fixed]);
        }
        let found = self.look_up(host.to_owned(), port).await?;
        let permitted: Vec<_> =
            found.into_iter().filter_map(|address| self.shared.policy.permit(address)).collect();
        if permitted.is_empty() { Err(Failure::Refused) } else { Ok(permitted) }
    }

    /// Asks the system's resolver, which also reads addresses in every spelling (`127.1`, `0x7f.1`, `2130706433`).
    async fn look_up(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let permit = self.lookups.clone().acquire_owned().await.expect("the semaphore is never closed");
        let found = tokio::task::spawn_blocking(move || {
            // The permit stays with the thread: a lookup that nobody waits for any more still occupies it.
            let _permit = permit;
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
        });
        let addresses = found.await.ok().and_then(Result::ok).unwrap_or_default();
        if addresses.is_empty() { Err(Failure::NameNotFound) } else { Ok(addresses) }
    }
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Origin>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<TokioIo<Origin>, Failure>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial_url(&url).await.map(TokioIo::new) })
    }
}

/// Tries the addresses in turn. They share `limit`, so that a silent one does not use up the time of the next.
async fn connect(addresses: &[Permitted], limit: Duration) -> Result<TcpStream, Failure> {
    let tried = u32::try_from(addresses.len()).unwrap_or(u32::MAX).clamp(1, limits::ADDRESSES_TRIED_MAX);
    let mut failure = Failure::Unreachable;
    for permitted in addresses.iter().take(tried as usize) {
        failure = match timeout(limit / tried, TcpStream::connect(permitted.address())).await {
            Ok(Ok(socket)) => {
                // Only latency is lost where the option cannot be set.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => connect_failure(&error),
            Err(_elapsed) => Failure::ConnectTimedOut,
        };
    }
    Err(failure)
}

fn connect_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Failure::ConnectionRefused,
        io::ErrorKind::TimedOut => Failure::ConnectTimedOut,
        _ => Failure::Unreachable,
    }
}

fn handshake_failure(error: &io::Error) -> Failure {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Failure::Certificate
        }
        _ => Failure::Handshake,
    }
}

/// A connection to an origin; counts against its Worker's limit until it is dropped.
pub(crate) struct Origin {
    transport: Transport,
    _permit: OwnedSemaphorePermit,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Socket: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

impl Origin {
    fn socket(self: Pin<&mut Self>) -> Pin<&mut dyn Socket> {
        match &mut self.get_mut().transport {
            Transport::Plain(socket) => Pin::new(socket),
            Transport::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for Origin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket().poll_read(context, buffer)
    }
}

impl AsyncWrite for Origin {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl Connection for Origin {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
