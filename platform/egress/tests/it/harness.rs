//! A Worker's side of egress, and origins on loopback. It promises nothing by itself.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use egress::{Egress, LocalHosts, Settings};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, client::conn::http1::SendRequest,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use model::{Caller, CallsKey, VersionId};
use product::ConnectionDoor;
use tasks::{Clock, Tasks};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// The name under which [`Worker::with_origin`] knows the origin. It resolves nowhere.
pub(crate) const ORIGIN: &str = "origin.test";

/// Settings that let Workers reach origins on loopback.
pub(crate) fn loopback() -> Settings {
    Settings {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        base_domain: "workers.test".to_owned(),
        ..Settings::default()
    }
}

/// Settings that know `address` as [`ORIGIN`] and reach nothing else.
pub(crate) fn only(address: SocketAddr) -> Settings {
    Settings {
        hosts: HashMap::from([(ORIGIN.to_owned(), address)]),
        base_domain: "workers.test".to_owned(),
        ..Settings::default()
    }
}

/// A Worker named `hello`, connected to egress as workerd would be.
pub(crate) struct Worker {
    pub(crate) egress: Arc<Egress>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) tasks: Tasks,
}

impl Worker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::beside(settings, no_hosts())
    }

    pub(crate) fn with_origin(address: SocketAddr) -> Self {
        Self::new(only(address))
    }

    pub(crate) fn beside(settings: Settings, local: Arc<dyn LocalHosts>) -> Self {
        let tasks = Tasks::new();
        let caller = Caller {
            script: "hello".parse().unwrap(),
            version: VersionId::random(),
            bindings: HashMap::new(),
            calls_key: CallsKey::random(),
        };
        let egress = Egress::new(settings, local, tasks.clone(), Clock::system()).unwrap();
        Self { egress: Arc::new(egress), caller: Arc::new(caller), tasks }
    }

    /// A new raw connection to egress.
    pub(crate) fn connection(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.tasks.spawn("egress door", self.egress.serve(Arc::clone(&self.caller), theirs));
        ours
    }

    /// A new connection to egress that speaks HTTP.
    pub(crate) async fn open(&self) -> SendRequest<Body> {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connection())).await.unwrap();
        self.tasks.spawn("worker side", async move {
            let _ = connection.with_upgrades().await;
        });
        sender
    }

    /// Sends one request on a connection of its own, which closes after it.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        self.open().await.send_request(request).await.unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        Answer::read(self.send(Request::get(url).body(Body::empty()).unwrap()).await).await
    }

    pub(crate) async fn connect(&self, authority: &str) -> Response<Incoming> {
        self.send(Request::builder().method(Method::CONNECT).uri(authority).body(Body::empty()).unwrap())
            .await
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: hyper::http::response::Parts,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { head, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    #[track_caller]
    pub(crate) fn assert_failure(&self, status: u16, code: u16) {
        assert_eq!(self.head.status, StatusCode::from_u16(status).unwrap(), "{}", self.text);
        assert_eq!(self.text, format!("error code: {code}"));
    }
}

/// Answers every request with `answer`; returns where. Runs until the test's runtime ends.
pub(crate) async fn origin<A, F>(tasks: &Tasks, answer: A) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    raw_origin(tasks, move |socket| serve_http(TokioIo::new(socket), answer.clone())).await
}

/// Serves HTTP on one connection, upgrades included.
pub(crate) async fn serve_http<I, A, F>(io: I, answer: A)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades().await;
}

/// Gives every connection to `serve`; returns where it listens.
pub(crate) async fn raw_origin<S, F>(tasks: &Tasks, serve: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = tasks.clone();
    tasks.spawn("origin", async move {
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn("origin connection", serve(socket));
        }
    });
    address
}

/// Reads until what was read ends with `end`; says whether it came to that.
pub(crate) async fn read_until(socket: &mut (impl AsyncRead + Unpin), end: &str) -> bool {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

/// Waits for what must happen; fails the test, rather than hang, when it does not.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), event).await.expect("this should have happened by now")
}

/// Where a request's head ends.
pub(crate) const END_OF_HEAD: &str = "\r\n\r\n";

/// A body of `frames` frames of 16 KiB that counts how many were taken.
pub(crate) fn counted_body(frames: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let frame = Bytes::from(vec![b'x'; FRAME_BYTES]);
    let stream = futures_util::stream::iter((0..frames).map(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(frame.clone())
    }));
    (Body::from_stream(stream), taken)
}

pub(crate) const FRAME_BYTES: usize = 16 * 1024;

/// An installation that answers no host itself.
pub(crate) fn no_hosts() -> Arc<dyn LocalHosts> {
    Arc::new(NoHosts)
}

struct NoHosts;

impl LocalHosts for NoHosts {
    fn serves(&self, _host: &str) -> bool {
        false
    }

    fn dispatch(&self, _caller: Arc<Caller>, _request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        unreachable!("no host is ours")
    }
}

/// Keeps what an origin was sent.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<hyper::http::request::Parts>>>);

impl Seen {
    pub(crate) fn note<B>(&self, request: Request<B>) -> B {
        let (parts, body) = request.into_parts();
        self.0.lock().unwrap().push(parts);
        body
    }

    pub(crate) fn last(&self) -> hyper::http::request::Parts {
        self.0.lock().unwrap().last().expect("the origin was asked").clone()
    }
}
