//! A small HTTP/1.1 client that lets a test say exactly what goes over the wire, valid or not.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::within;

/// How long one exchange may take, a cold start included.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(60);

/// A raw exchange is over when the other side has been silent for this long.
const SILENCE: Duration = Duration::from_millis(700);

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text; bytes that are no UTF-8 become replacement characters.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {} `{}`", self.status, self.text()))
    }

    /// A header as text; empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts the status, showing the body if it is another.
    ///
    /// # Panics
    /// If it is another.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "the body was `{}`", self.text());
        self
    }
}

/// A connection of one's own, for streams and for requests that follow each other.
#[derive(Debug)]
pub struct Connection<B> {
    sender: hyper::client::conn::http1::SendRequest<B>,
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Connects to `host:port`.
    ///
    /// # Panics
    /// If nobody listens there.
    #[expect(clippy::disallowed_methods, reason = "the connection's task ends with the connection")]
    pub async fn open(address: &str) -> Self {
        let stream =
            TcpStream::connect(address).await.unwrap_or_else(|error| panic!("connect to {address}: {error}"));
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap_or_else(|error| panic!("begin HTTP with {address}: {error}"));
        tokio::spawn(connection.with_upgrades());
        Self { sender }
    }

    /// Sends a request; the answer's body streams. The URI must be a path, `Host` must be set.
    ///
    /// # Errors
    /// If the connection ends first.
    pub async fn send(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// Sends one request over a connection of its own and reads the answer whole.
///
/// # Panics
/// If there is no answer.
pub async fn send(address: &str, request: Request<Bytes>) -> Answer {
    let title = format!("{} {}", request.method(), request.uri());
    assert!(request.headers().contains_key(HOST), "{title}: the test must say which Host it asks");
    within(&title, EXCHANGE_LIMIT, async {
        let mut connection = Connection::open(address).await;
        let outcome = connection.send(request.map(Full::new)).await;
        let response = outcome.unwrap_or_else(|error| panic!("{title}: {error}"));
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap_or_else(|error| panic!("{title}: its body: {error}"));
        Answer { status: head.status, headers: head.headers, body: body.to_bytes() }
    })
    .await
}

/// What came back for bytes that were sent as they are.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// All that was received.
    pub text: String,
    /// Whether the other side ended the connection.
    pub is_closed: bool,
}

/// Sends bytes as they are, for input that no client would send, and reads until the other side closes or falls silent.
///
/// # Panics
/// If nobody listens there.
pub async fn raw_exchange(address: &str, bytes: &[u8]) -> RawAnswer {
    let mut stream =
        TcpStream::connect(address).await.unwrap_or_else(|error| panic!("connect to {address}: {error}"));
    // The other side may refuse early and close; what it said before is the answer.
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let is_closed = loop {
        // The first byte may need a cold start; after that, silence is the end.
        let limit = if received.is_empty() { EXCHANGE_LIMIT } else { SILENCE };
        match tokio::time::timeout(limit, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(count)) => received.extend_from_slice(&buffer[..count]),
            Err(_) => break false,
        }
    };
    RawAnswer { text: String::from_utf8_lossy(&received).into_owned(), is_closed }
}
