//! The handshake: from a socket that has said nothing to a secured stream, or to a refusal that the client understands.

use std::{io, time::Duration};

use rustls::server::ClientHello;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::{Challenges, Secured, Tls, challenges::VALIDATION_PROTOCOL};
use crate::limits::LINGER_TIMEOUT;

/// The first byte of a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Alerts (RFC 8446 section 6.2, RFC 6066 section 3).
const MISSING_EXTENSION: u8 = 109;
const UNRECOGNIZED_NAME: u8 = 112;
/// RFC 7301 section 3.2.
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// For those who forgot the s.
const PLAIN_REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: skerry\r\nContent-Type: text/plain\r\n\
    Content-Length: 53\r\nConnection: close\r\n\r\nThe plain HTTP request was sent to the HTTPS address\n";

/// Why there is no secured stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the handshake took too long")]
    TimedOut,
    #[error("the client does not speak TLS")]
    NotTls,
    #[error("the client names no host")]
    Nameless,
    #[error("nobody waits for a validation of `{0}`")]
    Unasked(String),
    #[error("no certificate for `{0}`")]
    UnknownName(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Secures a connection within `timeout`; there is none left if all that the client wanted was to validate a host.
pub(crate) async fn perform(
    tls: &Tls,
    challenges: &Challenges,
    stream: TcpStream,
    timeout: Duration,
) -> Result<Option<(TlsStream<TcpStream>, Secured)>, HandshakeError> {
    tokio::time::timeout(timeout, shake(tls, challenges, stream))
        .await
        .unwrap_or(Err(HandshakeError::TimedOut))
}

async fn shake(
    tls: &Tls,
    challenges: &Challenges,
    stream: TcpStream,
) -> Result<Option<(TlsStream<TcpStream>, Secured)>, HandshakeError> {
    let mut first = [0];
    if stream.peek(&mut first).await? != 0 && first[0] != HANDSHAKE_RECORD {
        refuse_plain(stream, first[0]).await?;
        return Err(HandshakeError::NotTls);
    }
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let Some(host) = start.client_hello().server_name().map(str::to_owned) else {
        refuse(start.io, MISSING_EXTENSION).await?;
        return Err(HandshakeError::Nameless);
    };
    // Only now: a client that says nothing takes no other's turn.
    let _turn = tls.handshakes().acquire().await.expect("the semaphore is never closed");
    if is_validation(&start.client_hello()) {
        validate(challenges, start, host).await?;
        return Ok(None);
    }
    let Some(served) = tls.choose(&host) else {
        refuse(start.io, UNRECOGNIZED_NAME).await?;
        return Err(HandshakeError::UnknownName(host));
    };
    let stream = start.into_stream(served.config.clone()).await?;
    let secured = Secured::of(stream.get_ref().1, served.names.clone());
    Ok(Some((stream, secured)))
}

fn is_validation(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == VALIDATION_PROTOCOL))
}

/// Shows an ACME server what it waits for. No request follows (RFC 8737 section 3).
async fn validate(
    challenges: &Challenges,
    start: StartHandshake<TcpStream>,
    host: String,
) -> Result<(), HandshakeError> {
    let Some(config) = challenges.handshake(&host) else {
        refuse(start.io, NO_APPLICATION_PROTOCOL).await?;
        return Err(HandshakeError::Unasked(host));
    };
    let mut stream = start.into_stream(config).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Ends a handshake of which only the client's first message has been read. rustls has no say in the alert that a missing
/// certificate causes, so it is written here: a record of type alert, two bytes long, fatal.
async fn refuse(mut stream: TcpStream, alert: u8) -> io::Result<()> {
    stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await?;
    stream.shutdown().await
}

/// Answers what looks like HTTP, and reads on for a moment, so that the answer arrives before the kernel's reset.
async fn refuse_plain(mut stream: TcpStream, first: u8) -> io::Result<()> {
    if !first.is_ascii_uppercase() {
        return Ok(());
    }
    stream.write_all(PLAIN_REFUSAL).await?;
    stream.shutdown().await?;
    let mut discarded = [0; 1024];
    let read_on = async { while stream.read(&mut discarded).await.is_ok_and(|bytes| 0 < bytes) {} };
    // Either way it is over.
    drop(tokio::time::timeout(LINGER_TIMEOUT, read_on).await);
    Ok(())
}
