//! Listens: accepts connections, bounds them, and drains them when the server stops.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tasks::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Most connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;

/// Longest time a request's head may take to arrive; also bounds idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until the tasks are stopped; requests under way are answered.
pub async fn serve(listener: TcpListener, router: Router, tasks: Tasks) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stop = tasks.stop_token();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn_draining("api-connection", async move {
                    connection(stream, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: tokio_util::sync::CancellationToken) {
    // Answers are small and written whole, so waiting for more to send only adds delay.
    drop(stream.set_nodelay(true));
    // HTTP/1.1 alone, which every client speaks without TLS: its timeout counts from the first moment, while one that also
    // looks for HTTP/2 waits without limit for a client that says nothing.
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let serving = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "An API connection ended early");
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "Could not accept an API connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
