//! WebSockets: recognising the request for one, and carrying bytes between the two connections afterwards. The frames
//! themselves pass unread.

use http::{
    HeaderMap, HeaderValue, Method, Request, Version,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::{headers, limits, ray::Ray, settings::Settings};

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

/// Carries bytes both ways until one side ends, or until the server has waited long enough while stopping. `hold` is
/// kept until then.
pub(crate) fn carry(
    tasks: &Tasks,
    settings: &Settings,
    ray: Ray,
    client: OnUpgrade,
    process: OnUpgrade,
    hold: Option<Box<dyn Send>>,
) {
    let stop = tasks.stop_token();
    let drain_timeout = settings.drain_timeout;
    tasks.spawn_draining("websocket", async move {
        let _hold = hold;
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(drain_timeout).await;
        };
        let carried = async {
            match tokio::try_join!(client, process) {
                Ok((client, process)) => carry_both(client, process).await,
                Err(error) => tracing::debug!(%ray, %error, "A WebSocket did not open"),
            }
        };
        tokio::select! {
            () = carried => tracing::debug!(%ray, "A WebSocket ended"),
            () = stopped => tracing::debug!(%ray, "Cut a WebSocket that was open while the server stopped"),
        }
    });
}

async fn carry_both(client: Upgraded, process: Upgraded) {
    let (client_reader, client_writer) = tokio::io::split(TokioIo::new(client));
    let (process_reader, process_writer) = tokio::io::split(TokioIo::new(process));
    let mut inbound = std::pin::pin!(carry_one(client_reader, process_writer));
    let mut outbound = std::pin::pin!(carry_one(process_reader, client_writer));
    // A side that has said its last word gets the other's last words, but does not keep it waiting for ever.
    tokio::select! {
        () = inbound.as_mut() => drop(tokio::time::timeout(limits::LINGER_TIMEOUT, outbound).await),
        () = outbound.as_mut() => drop(tokio::time::timeout(limits::LINGER_TIMEOUT, inbound).await),
    }
}

async fn carry_one(reader: impl AsyncRead, writer: impl AsyncWrite) {
    let mut reader = std::pin::pin!(BufReader::with_capacity(limits::WEBSOCKET_BUFFER_BYTES, reader));
    let mut writer = std::pin::pin!(writer);
    // An error on either side means the same as an end: there is nobody to tell.
    drop(tokio::io::copy_buf(&mut reader, &mut writer).await);
    drop(writer.shutdown().await);
}
