//! Connections: taking them in, securing them, speaking HTTP/1.1 or HTTP/2 on them, and ending them when they idle, stall or the server
//! stops. What a request means is in `request`.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tasks::Tasks;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{
    Body, Client, Inbound, Ingress, Scheme,
    activity::{Activity, Patience, Phase},
    limits,
    socket::{self, Socket},
    tls::{self, Tls},
};

/// Makes HTTP/2 requests tasks of ours.
#[derive(Debug, Clone)]
pub(crate) struct SpawnDraining(Tasks);

impl<F> Executor<F> for SpawnDraining
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn_draining("http2 request", future));
    }
}

/// HTTP as we speak it.
pub(crate) fn protocol(tasks: &Tasks) -> auto::Builder<SpawnDraining> {
    let mut protocol = auto::Builder::new(SpawnDraining(tasks.clone()));
    // `Activity` is the timeout: hyper's own cannot tell a slow request from an idle connection.
    protocol.http1().header_read_timeout(None).max_buf_size(limits::HEADER_BYTES_MAX);
    let header_bytes_max = u32::try_from(limits::HEADER_BYTES_MAX).expect("128 KiB fit");
    protocol
        .http2()
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(header_bytes_max)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES)
        .max_send_buf_size(limits::HTTP2_SEND_BYTES_MAX);
    protocol
}

/// Takes in connections until the server is asked to stop.
pub(crate) async fn accept_all(ingress: &Ingress, listener: &TcpListener, tls: Option<Tls>) {
    let slots = Arc::new(Semaphore::new(ingress.0.settings.connections_max));
    let stop = ingress.0.tasks.stop_token();
    while let Some(accepted) = stop.run_until_cancelled(accept(listener, &slots)).await {
        match accepted {
            Ok((stream, peer, slot)) => {
                ingress.0.metrics.connected();
                socket::prepare(&stream);
                let ingress = ingress.clone();
                let tasks = ingress.0.tasks.clone();
                match tls.clone() {
                    Some(tls) => {
                        tasks.spawn_draining("connection", secure_and_run(ingress, tls, stream, peer, slot));
                    }
                    None => {
                        let client = Client::visitor(peer.ip(), Scheme::Http);
                        tasks.spawn_draining("connection", run(ingress, stream, client, peer, slot));
                    }
                }
            }
            // The client was gone before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection; the next try is in a second");
                stop.run_until_cancelled(tokio::time::sleep(limits::ACCEPT_RETRY_AFTER)).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

async fn secure_and_run(
    ingress: Ingress,
    tls: Tls,
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
) {
    let stop = ingress.0.tasks.stop_token();
    let handshake = tls::perform(&tls, &ingress.0.challenges, stream, ingress.0.settings.handshake_timeout);
    match stop.run_until_cancelled(Box::pin(handshake)).await {
        Some(Ok(Some((stream, secured)))) => {
            run(ingress, stream, Client::secured(peer.ip(), secured), peer, slot).await;
        }
        Some(Err(error)) => {
            ingress.0.metrics.handshake_failed();
            tracing::debug!(%peer, %error, "A TLS handshake failed");
        }
        Some(Ok(None)) => tracing::debug!(%peer, "An ACME server validated a host"),
        None => {}
    }
}

async fn run<S>(ingress: Ingress, stream: S, client: Client, peer: SocketAddr, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &ingress.0.settings;
    let patience = Patience { header_timeout: settings.header_timeout, idle_timeout: settings.idle_timeout };
    let activity = Arc::new(Activity::new(ingress.0.clock.clone(), slot));
    let session = Arc::new(Session { ingress: ingress.clone(), client, activity: Arc::clone(&activity) });
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(session.answer(request).await) }
    });
    let socket = TokioIo::new(Socket::new(stream, Arc::clone(&activity)));
    let mut connection = pin!(ingress.0.protocol.serve_connection_with_upgrades(socket, service));
    let stop = ingress.0.tasks.stop_token();
    // In this order: what has arrived is looked at before time is found to be up.
    tokio::select! {
        biased;
        result = connection.as_mut() => return note_end(peer, result),
        phase = activity.expired(patience) => {
            if phase != Phase::Idle {
                tracing::debug!(%peer, "Closed a connection whose request did not arrive in time");
                return;
            }
        }
        () = stop.cancelled() => {}
    }
    if matches!(activity.phase(), Phase::Idle | Phase::Opening) {
        activity.make_abrupt();
    }
    connection.as_mut().graceful_shutdown();
    // Whoever has not sent a whole request by the end of the first wait gets no second one.
    for wait in [limits::LINGER_TIMEOUT.min(settings.drain_timeout), settings.drain_timeout] {
        if let Ok(result) = tokio::time::timeout(wait, connection.as_mut()).await {
            return note_end(peer, result);
        }
        if activity.phase() != Phase::Busy {
            return;
        }
    }
}

fn note_end(peer: SocketAddr, result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "A connection ended with an error");
    }
}

/// What the requests of one connection share.
#[derive(Debug)]
struct Session {
    ingress: Ingress,
    client: Client,
    activity: Arc<Activity>,
}

impl Session {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let in_flight = self.activity.begin();
        let response = self.ingress.handle(&self.client, request.map(Inbound::Client)).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.activity.take_over();
        }
        response.map(|body| body.until_done(in_flight))
    }
}
