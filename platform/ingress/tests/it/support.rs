//! A door with one Worker behind it, and ways to knock.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::{Ingress, NoSites, Settings};
use model::VersionId;
use tasks::{Clock, Tasks};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};
use workers::{Route, RouteTable, Routes, Share};

use crate::process::{self, Mishap, Notes, Way};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The host of the one Worker.
pub(crate) const HOST: &str = "hello.localhost";

/// The host of a Worker in the middle of a rollout: half of the requests go to each of [`halves`], none to [`idle`].
pub(crate) const SPLIT_HOST: &str = "split.localhost";

pub(crate) type RequestStream = UnsyncBoxBody<Bytes, io::Error>;

/// A door, a process behind it, and what a test may look at.
pub(crate) struct Door {
    metrics: telemetry::Metrics,
    pub(crate) address: SocketAddr,
    pub(crate) ingress: Ingress,
    pub(crate) notes: Arc<Notes>,
    pub(crate) mishaps: Arc<Mutex<VecDeque<Mishap>>>,
    pub(crate) hold: Arc<()>,
    pub(crate) parting: CancellationToken,
    /// Those of the door; the process has its own, so that it outlives a stop of the door.
    pub(crate) tasks: Tasks,
    process_tasks: Tasks,
    pub(crate) client_tasks: Tasks,
    _folder: TempDir,
}

pub(crate) async fn door() -> Door {
    door_with(|_| {}).await
}

pub(crate) async fn door_with(change: impl FnOnce(&mut Settings)) -> Door {
    begin_logging();
    let folder = TempDir::new().unwrap();
    let (tasks, process_tasks) = (Tasks::new(), Tasks::new());
    let (path, notes) = process::start(folder.path(), &process_tasks);
    let mishaps = Arc::<Mutex<VecDeque<Mishap>>>::default();
    let hold = Arc::new(());
    let parting = CancellationToken::new();
    let way = Way {
        path,
        tasks: process_tasks.clone(),
        mishaps: Arc::clone(&mishaps),
        hold: Arc::clone(&hold),
        parting: parting.clone(),
    };
    let mut settings = Settings::new("localhost");
    change(&mut settings);
    let metrics = telemetry::Metrics::new();
    let ingress = Ingress::new(
        routes(),
        Arc::new(NoSites),
        Arc::new(way),
        settings,
        Clock::system(),
        tasks.clone(),
        &metrics,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn_draining("ingress", ingress.clone().serve(listener));
    Door {
        metrics,
        address,
        ingress,
        notes,
        mishaps,
        hold,
        parting,
        tasks,
        process_tasks,
        client_tasks: Tasks::new(),
        _folder: folder,
    }
}

/// The versions that answer at [`SPLIT_HOST`].
pub(crate) fn halves() -> [VersionId; 2] {
    ["1", "2"].map(|digit| digit.repeat(32).parse().unwrap())
}

/// A version at [`SPLIT_HOST`] that answers only who asks for it.
pub(crate) fn idle() -> VersionId {
    "3".repeat(32).parse().unwrap()
}

fn routes() -> Routes {
    let route =
        |script: &str, versions| Arc::new(Route { script: script.parse().unwrap(), versions, owner: None });
    let all = vec![Share { version: VersionId::random(), percentage: 100.0 }];
    let [one, other] = halves().map(|version| Share { version, percentage: 50.0 });
    let split = vec![one, other, Share { version: idle(), percentage: 0.0 }];
    let routes = Routes::default();
    routes.publish(RouteTable {
        hosts: HashMap::from([
            (HOST.to_owned(), route("hello", all)),
            ("empty.localhost".to_owned(), route("empty", Vec::new())),
            (SPLIT_HOST.to_owned(), route("split", split)),
        ]),
        ..RouteTable::default()
    });
    routes
}

impl Door {
    /// Fails unless `/metrics` would have this line.
    pub(crate) fn shows(&self, line: &str) {
        let text = self.metrics.render();
        assert!(text.lines().any(|present| present == line), "no `{line}` in:\n{text}");
    }

    /// Sends `bytes` on a new connection and reads until the door closes it.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// Like [`Door::raw`], with a client that says that it sends no more.
    pub(crate) async fn raw_then_end(&self, bytes: impl AsRef<[u8]>) -> String {
        let text = String::from_utf8(bytes.as_ref().to_vec()).unwrap();
        self.raw(text.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)).await
    }

    /// One GET over HTTP/1.1; at [`HOST`] unless the headers say where.
    pub(crate) async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let host = [("host", HOST)];
        let is_said = headers.iter().any(|(name, _)| *name == "host");
        let mut request = Request::get(target);
        for (name, value) in host.iter().filter(|_| !is_said).chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(empty()).unwrap();
        let response = self.http1().await.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    pub(crate) async fn http1(&self) -> http1::SendRequest<RequestStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.client_tasks.spawn("client", async move { drop(connection.with_upgrades().await) });
        sender
    }

    /// The process dies, whatever it is doing.
    pub(crate) async fn stop_process(&self) {
        assert!(self.process_tasks.stop(PATIENCE).await);
    }

    pub(crate) async fn http2(&self) -> http2::SendRequest<RequestStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        self.client_tasks.spawn("client", async move { drop(connection.await) });
        sender
    }
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    in_time(stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Fails the test instead of letting it hang.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

pub(crate) fn empty() -> RequestStream {
    Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

/// A request body that is sent piece by piece.
pub(crate) fn pieces() -> (mpsc::Sender<Bytes>, RequestStream) {
    let (sender, receiver) = mpsc::channel(1);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (bytes, receiver))
    });
    (sender, StreamBody::new(stream.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync())
}

/// Exactly `count` bytes of an answer.
pub(crate) async fn read_exactly(body: &mut Incoming, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let frame = in_time(body.frame()).await.expect("more bytes").unwrap();
        bytes.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(bytes.len(), count);
    bytes
}

/// The lines logged so far that speak of a ray (`…-LOC` as in the header is fine too).
pub(crate) fn log_lines(ray: &str) -> Vec<String> {
    noted(ray.split('-').next().unwrap())
}

/// The lines logged so far that hold a text.
pub(crate) fn noted(text: &str) -> Vec<String> {
    let log = LOG.get().unwrap().0.lock().unwrap();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

fn begin_logging() {
    LOG.get_or_init(|| {
        let log = Log::default();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("ingress=debug"))
            .with_ansi(false)
            .with_writer(log.clone())
            .init();
        log
    });
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
