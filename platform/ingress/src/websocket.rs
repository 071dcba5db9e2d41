//! WebSockets: recognising the request for one, and carrying bytes between the two connections afterwards. The frames
//! themselves pass unread, but for where they end.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Version,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Hold,
    frames::{self, Frames},
    headers, limits,
    ray::Ray,
    settings::Settings,
};

/// The close code for "come back in a moment" (IANA: WebSocket Close Code Number Registry, 1012 Service Restart).
const SERVICE_RESTART: u16 = 1012;

/// Whether the client asks for a WebSocket (RFC 6455 section 4.1).
pub(crate) fn is_asked_for<B: http_body::Body>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_end_stream()
        && request
            .headers()
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && headers::connection_has(request.headers(), "upgrade")
}

/// Says on one connection that it becomes a WebSocket; the headers that said so belonged to the other one.
pub(crate) fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Carries bytes both ways until one side ends, or until the server has waited long enough while stopping. A client whose
/// process is about to end is told so. `hold` is kept until then.
pub(crate) fn carry(
    tasks: &Tasks,
    settings: &Settings,
    ray: Ray,
    client: OnUpgrade,
    process: OnUpgrade,
    hold: Option<Hold>,
) {
    let stop = tasks.stop_token();
    let drain_timeout = settings.drain_timeout;
    tasks.spawn_draining("websocket", async move {
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(drain_timeout).await;
        };
        let parted = CancellationToken::new();
        let held = async {
            if let Some(Hold { awake, parting }) = hold {
                parting.await;
                parted.cancel();
                drop(awake);
            }
            std::future::pending::<()>().await;
        };
        let carried = async {
            match tokio::try_join!(client, process) {
                Ok((client, process)) => carry_both(client, process, &parted).await,
                Err(error) => tracing::debug!(%ray, %error, "A WebSocket did not open"),
            }
        };
        tokio::select! {
            () = carried => tracing::debug!(%ray, "A WebSocket ended"),
            () = stopped => tracing::debug!(%ray, "Cut a WebSocket that was open while the server stopped"),
            () = held => {}
        }
    });
}

/// Carries bytes both ways until one side ends. At `parted` the process is about to end: the client is told so, and what it
/// still says goes nowhere.
pub async fn carry_both(client: Upgraded, process: Upgraded, parted: &CancellationToken) {
    let (client_reader, client_writer) = tokio::io::split(TokioIo::new(client));
    let (process_reader, process_writer) = tokio::io::split(TokioIo::new(process));
    let mut inbound = std::pin::pin!(carry_in(client_reader, process_writer, parted));
    let mut outbound = std::pin::pin!(carry_out(process_reader, client_writer, parted));
    // A side that has said its last word gets the other's last words, but does not keep it waiting for ever.
    tokio::select! {
        () = inbound.as_mut() => drop(tokio::time::timeout(limits::LINGER_TIMEOUT, outbound).await),
        () = outbound.as_mut() => drop(tokio::time::timeout(limits::LINGER_TIMEOUT, inbound).await),
    }
}

/// From the client. What it still says when the process is about to end goes nowhere: the process would take its goodbye for
/// a wish of its own.
async fn carry_in(reader: impl AsyncRead, writer: impl AsyncWrite, parted: &CancellationToken) {
    let mut reader = std::pin::pin!(reader);
    let mut writer = std::pin::pin!(writer);
    let carried = async {
        while let Some(bytes) = next_bytes(reader.as_mut()).await {
            if pass_on(writer.as_mut(), &bytes).await.is_err() {
                break;
            }
        }
    };
    let carried = parted.run_until_cancelled(carried).await;
    match carried {
        Some(()) => drop(writer.shutdown().await),
        None => discard(reader).await,
    }
}

/// From the process; at its parting a Close frame follows the last whole frame.
async fn carry_out(reader: impl AsyncRead, writer: impl AsyncWrite, parted: &CancellationToken) {
    let mut reader = std::pin::pin!(reader);
    let mut writer = std::pin::pin!(writer);
    let mut frames = Frames::default();
    loop {
        let bytes = tokio::select! {
            biased;
            () = parted.cancelled(), if frames.is_between() => {
                drop(writer.write_all(&frames::close(SERVICE_RESTART)).await);
                drop(writer.shutdown().await);
                // The process's side stays open until the process ends, so that it does not take this for a goodbye.
                discard(reader).await;
                return;
            }
            bytes = next_bytes(reader.as_mut()) => bytes,
        };
        let Some(bytes) = bytes else { break };
        frames.pass(&bytes);
        if pass_on(writer.as_mut(), &bytes).await.is_err() {
            break;
        }
    }
    drop(writer.shutdown().await);
}

/// What came next; `None` at the end. An error means the same as an end: there is nobody to tell. Bytes get memory once they
/// are there, since most WebSockets are silent most of the time.
async fn next_bytes(mut reader: Pin<&mut impl AsyncRead>) -> Option<Vec<u8>> {
    let read = poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); limits::WEBSOCKET_BUFFER_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(reader.as_mut().poll_read(context, &mut buffer))?;
        Poll::Ready(io::Result::Ok(buffer.filled().to_vec()))
    });
    read.await.ok().filter(|bytes| !bytes.is_empty())
}

async fn pass_on(mut writer: Pin<&mut impl AsyncWrite>, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

async fn discard(mut reader: Pin<&mut impl AsyncRead>) {
    while next_bytes(reader.as_mut()).await.is_some() {}
}
