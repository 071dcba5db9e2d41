//! A Worker's process as a test plays it: an HTTP/1.1 server on a Unix socket that writes down what reaches it, and the
//! way to it that can be told to fail.

use std::{
    collections::VecDeque,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use engine::StartError;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use ingress::{Answer, Body, Dispatch, DispatchError, Hold, RequestBody};
use model::VersionId;
use tasks::Tasks;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};
use tokio_util::sync::CancellationToken;

pub(crate) type Reply = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// A request as the process saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
}

/// What the process noted and what a test may tell it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// Bytes that `/endless` has given and `/slow-sink` has taken.
    pub(crate) bytes: AtomicU64,
    /// Whoever asks `/wait` gets an answer when the test adds a permit.
    pub(crate) gate: Gate,
    /// A permit for each request that has arrived at `/wait`.
    pub(crate) arrived: Gate,
}

#[derive(Debug)]
pub(crate) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

impl Notes {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect()
    }

    pub(crate) fn last_headers(&self) -> HeaderMap {
        self.seen.lock().unwrap().last().unwrap().headers.clone()
    }
}

/// Begins to answer on a new socket in `folder`.
/// Says in the notes which version a request was sent to.
pub(crate) const VERSION: &str = "version-of-the-test";

pub(crate) fn start(folder: &Path, tasks: &Tasks) -> (PathBuf, Arc<Notes>) {
    let path = folder.join("process");
    let listener = UnixListener::bind(&path).unwrap();
    let notes = Arc::new(Notes::default());
    let (noted, spawner) = (Arc::clone(&notes), tasks.clone());
    tasks.spawn("process", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (notes, tasks) = (Arc::clone(&noted), spawner.clone());
            let service = service_fn(move |request| answer(Arc::clone(&notes), tasks.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            spawner.spawn("process connection", async move { drop(connection.await) });
        }
    });
    (path, notes)
}

/// An error here ends the connection without an answer, as a process does that dies.
async fn answer(
    notes: Arc<Notes>,
    tasks: Tasks,
    mut request: Request<Incoming>,
) -> Result<Reply, &'static str> {
    let line = format!("{} {}", request.method(), request.uri());
    notes.seen.lock().unwrap().push(Seen { line, headers: request.headers().clone() });
    let reply = match request.uri().path() {
        "/echo" => Response::new(request.into_body().boxed_unsync()),
        "/die" => return Err("died"),
        "/die-after-body" => {
            drop(request.into_body().collect().await);
            return Err("died");
        }
        "/threw" => {
            let mut reply = text("Internal Server Error");
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            reply
        }
        "/own-500" => {
            let mut reply = text("Internal Server Error");
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            reply
        }
        "/hop" => {
            let mut reply = text("ok");
            for (name, value) in
                [("keep-alive", "timeout=5"), ("proxy-authenticate", "Basic"), ("x-skerry-y", "1")]
            {
                reply.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            reply.headers_mut().insert("x-own", HeaderValue::from_static("kept"));
            reply.headers_mut().insert("server", HeaderValue::from_static("worker"));
            reply
        }
        "/wait" => {
            notes.arrived.open();
            notes.gate.pass().await;
            text("waited")
        }
        "/endless" => endless(notes),
        "/slow-sink" => slow_sink(&notes, request.into_body()).await,
        "/socket" => socket(&tasks, &mut request),
        "/unasked-101" => {
            let mut reply = text("");
            *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            reply
        }
        _ => {
            let Ok(body) = request.into_body().collect().await else { return Err("the request broke off") };
            let trailers = body.trailers().map_or("", |_| " and trailers");
            text(&format!("{} bytes{trailers}", body.to_bytes().len()))
        }
    };
    Ok(reply)
}

fn text(text: &str) -> Reply {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    Response::new(body.map_err(|never: Infallible| match never {}).boxed_unsync())
}

fn endless(notes: Arc<Notes>) -> Reply {
    let chunks = futures_util::stream::repeat_with(move || {
        notes.bytes.fetch_add(64 * 1024, Ordering::SeqCst);
        Ok(Frame::data(Bytes::from_static(&[7; 64 * 1024])))
    });
    Response::new(StreamBody::new(chunks).boxed_unsync())
}

/// Takes a frame, then lets everybody else go first.
async fn slow_sink(notes: &Notes, mut body: Incoming) -> Reply {
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        notes.bytes.fetch_add(u64::try_from(bytes).unwrap(), Ordering::SeqCst);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    text(&notes.bytes.load(Ordering::SeqCst).to_string())
}

/// Echoes WebSocket messages until the client closes.
fn socket(tasks: &Tasks, request: &mut Request<Incoming>) -> Reply {
    let key = request.headers().get("sec-websocket-key").unwrap().clone();
    let upgraded = hyper::upgrade::on(&mut *request);
    tasks.spawn("process socket", async move {
        use futures_util::{SinkExt, StreamExt};
        let Ok(upgraded) = upgraded.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let is_bye = message.is_text() && message.to_text().unwrap() == "bye";
            if message.is_close() || is_bye || socket.send(message).await.is_err() {
                break;
            }
        }
        drop(socket.close(None).await);
    });
    let mut reply = text("");
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).unwrap();
    reply.headers_mut().insert("sec-websocket-accept", accept);
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    reply
}

/// What happens to the next request instead of being sent.
#[derive(Debug, Clone)]
pub(crate) enum Mishap {
    Start(StartError),
    Unsent,
}

/// The way to the process: one connection per request.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) path: PathBuf,
    pub(crate) tasks: Tasks,
    pub(crate) mishaps: Arc<Mutex<VecDeque<Mishap>>>,
    /// Held by each taken-over connection; a weak pointer tells whether one is.
    pub(crate) hold: Arc<()>,
    /// Cancelled when the process is about to end.
    pub(crate) parting: CancellationToken,
}

impl Dispatch for Way {
    fn send<'a>(
        &'a self,
        version: VersionId,
        mut request: Request<RequestBody>,
    ) -> BoxFuture<'a, Result<Answer, DispatchError>> {
        Box::pin(async move {
            let mishap = self.mishaps.lock().unwrap().pop_front();
            match mishap {
                Some(Mishap::Start(error)) => return Err(DispatchError::Start(error)),
                Some(Mishap::Unsent) => {
                    let cause = "the process was gone".to_owned();
                    return Err(DispatchError::Unsent { request: Box::new(request), cause });
                }
                None => {}
            }
            let version = version.to_string().parse().expect("an id is a header value");
            request.headers_mut().insert(VERSION, version);
            let stream = UnixStream::connect(&self.path).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let connection = connection.with_upgrades();
            self.tasks.spawn_draining("way to the process", async move { drop(connection.await) });
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| DispatchError::Lost(error.to_string()))?;
            let hold = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| Hold {
                awake: Box::new(Arc::clone(&self.hold)),
                parting: self.parting.clone().cancelled_owned().boxed(),
            });
            Ok(Answer { response: response.map(Body::other), hold })
        })
    }
}
