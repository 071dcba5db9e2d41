//! A room over its own socket, without workerd: KV's binding door served as the server serves it, asked by a client that
//! is part of the cost.

use std::{
    convert::Infallible,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use model::AccountId;
use product::{BindingDoor, House};
use serde_json::{Value, json};
use store::{Database, Options, Vault};
use tasks::{Clock, Tasks};
use testkit::DataFolder;
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use tower::ServiceExt as _;

use crate::load::now;

/// Connections that write at once.
pub(crate) const WRITERS: usize = 64;

/// Connections that read at once.
pub(crate) const READERS: usize = 16;

/// Keys that are read and written again and again.
pub(crate) const KEYS: usize = 1_000;

/// Bytes of a value of theirs.
pub(crate) const VALUE_BYTES: usize = 1024;

/// Bytes of a value where there are very many.
const SMALL_VALUE_BYTES: usize = 100;

/// Keys of a page of a list.
const PAGE_KEYS: usize = 1_000;

/// KV behind a socket; its tasks end with the process.
#[derive(Debug)]
pub(crate) struct Room {
    socket: PathBuf,
    _house: House,
    _folder: DataFolder,
}

/// What a load brought.
#[derive(Debug)]
pub(crate) struct Load {
    /// Answers a second.
    pub(crate) rate: f64,
    /// How long the slowest hundredth of them took at least, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// What very many keys cost.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Keys a second that a reader of all pages gets.
    pub(crate) listed_rate: f64,
    /// By how much heap and stack grew between the first tenth of the writes and the last, in mebibytes.
    pub(crate) grown_mib: f64,
}

impl Room {
    /// Opens KV in a folder of its own with a namespace, filled with the keys.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = DataFolder::new();
        let house = house(&folder)?;
        let product = kv::open(&house).await?.product;
        let namespace = namespace(product.rest, &house.account).await?;
        let door = product.binding.context("KV has no binding door")?;
        let socket = folder.path().join("kv.socket");
        serve(UnixListener::bind(&socket).context("listen")?, door, namespace, &house.tasks);
        let room = Self { socket, _house: house, _folder: folder };
        let fill = |number: usize| (number < KEYS).then(|| put(&key(number), VALUE_BYTES));
        room.load(WRITERS, fill).await?;
        Ok(room)
    }

    /// Reads the keys in turn for a while.
    pub(crate) async fn gets(&self, duration: Duration) -> anyhow::Result<Load> {
        let begun = now();
        self.load(READERS, move |number| (begun.elapsed() < duration).then(|| get(&key(number % KEYS)))).await
    }

    /// Writes the keys in turn for a while.
    pub(crate) async fn puts(&self, duration: Duration) -> anyhow::Result<Load> {
        let begun = now();
        let next = move |number| (begun.elapsed() < duration).then(|| put(&key(number % KEYS), VALUE_BYTES));
        self.load(WRITERS, next).await
    }

    /// Writes `count` keys, each once, and lists them.
    pub(crate) async fn volume(&self, count: usize) -> anyhow::Result<Volume> {
        self.write_many(0..count / 10).await?;
        let before = anonymous_mib()?;
        self.write_many(count / 10..count).await?;
        let grown_mib = anonymous_mib()? - before;
        let begun = now();
        let listed = self.list("many-").await?;
        ensure!(listed == count, "{listed} of {count} keys were listed");
        Ok(Volume { listed_rate: listed as f64 / begun.elapsed().as_secs_f64(), grown_mib })
    }

    async fn write_many(&self, numbers: Range<usize>) -> anyhow::Result<()> {
        let next = move |number: usize| {
            let number = numbers.start + number;
            numbers.contains(&number).then(|| put(&format!("many-{number:08}"), SMALL_VALUE_BYTES))
        };
        self.load(WRITERS, next).await.map(|_| ())
    }

    /// Reads all pages; how many keys they had.
    async fn list(&self, prefix: &str) -> anyhow::Result<usize> {
        let mut connection = Connection::open(&self.socket).await?;
        let (mut listed, mut cursor) = (0, String::new());
        loop {
            let path = format!("/?key_count_limit={PAGE_KEYS}&prefix={prefix}{cursor}");
            let answer = connection.exchange(Request::get(path).body(Full::default())?).await?;
            let page: Value = serde_json::from_slice(&answer).context("parse a page")?;
            listed += page["keys"].as_array().map_or(0, Vec::len);
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(listed),
            }
        }
    }

    async fn load<F>(&self, connections: usize, next: F) -> anyhow::Result<Load>
    where
        F: Fn(usize) -> Option<Request<Full<Bytes>>> + Send + Sync + 'static,
    {
        load(&self.socket, connections, next).await
    }
}

/// Sends what `next` makes of 0, 1, 2 … over a number of connections, until it makes nothing more.
pub(crate) async fn load<F>(socket: &Path, connections: usize, next: F) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Option<Request<Full<Bytes>>> + Send + Sync + 'static,
{
    let begun = now();
    let next = Arc::new(next);
    let sent = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(socket).await?;
        let (next, sent) = (Arc::clone(&next), Arc::clone(&sent));
        running.spawn(async move {
            let mut latencies = Vec::new();
            while let Some(request) = next(sent.fetch_add(1, Ordering::Relaxed)) {
                let asked = now();
                connection.exchange(request).await?;
                latencies.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies_ms = Vec::new();
    while let Some(outcome) = running.join_next().await {
        latencies_ms.extend(outcome.context("wait for a connection")??);
    }
    let rate = latencies_ms.len() as f64 / begun.elapsed().as_secs_f64();
    latencies_ms.sort_by(f64::total_cmp);
    let p99_ms = latencies_ms.get(latencies_ms.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(Load { rate, p99_ms })
}

/// What a room is given when it opens in a folder of its own.
pub(crate) fn house(folder: &DataFolder) -> anyhow::Result<House> {
    Ok(House {
        data: folder.path().to_owned(),
        meta: Database::open(&folder.path().join("meta.sqlite"), d1::MIGRATIONS, Options::default())?,
        vault: Vault::open(&folder.path().join("master.key"))?,
        account: AccountId::random(),
        clock: Clock::system(),
        tasks: Tasks::new(),
    })
}

/// One keep-alive connection to the socket.
pub(crate) struct Connection {
    sender: client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "the connection's task ends with the connection")]
    pub(crate) async fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await.context("connect")?;
        let (sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    pub(crate) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await.context("ask the room")?;
        let status = response.status();
        let body = response.into_body().collect().await.context("read an answer")?.to_bytes();
        ensure!(status == StatusCode::OK, "the room answered {status}");
        Ok(body)
    }
}

/// Serves a door as the server does.
pub(crate) fn serve(listener: UnixListener, door: BindingDoor, resource: Arc<str>, tasks: &Tasks) {
    let running = tasks.clone();
    tasks.spawn("room-socket", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (door, resource) = (Arc::clone(&door), Arc::clone(&resource));
            running.spawn("room-connection", async move {
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let answer = door(Arc::clone(&resource), request.map(Body::new));
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let mut protocol = server::conn::http1::Builder::new();
                // A client that ends its connection is no error here.
                let _ =
                    protocol.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// Makes a namespace as the v4 API does.
async fn namespace(rest: axum::Router, account: &AccountId) -> anyhow::Result<Arc<str>> {
    let request = Request::post(format!("/accounts/{account}/storage/kv/namespaces"))
        .body(Body::from(json!({ "title": "bench" }).to_string()))?;
    let answer = rest.oneshot(request).await?.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&answer).context("parse the API's answer")?;
    Ok(answer["result"]["id"].as_str().with_context(|| format!("no namespace in {answer}"))?.into())
}

/// The name of one of the keys.
pub(crate) fn key(number: usize) -> String {
    format!("key-{number:04}")
}

fn get(key: &str) -> Request<Full<Bytes>> {
    request(Request::get(format!("/{key}")), Bytes::new())
}

fn put(key: &str, value_bytes: usize) -> Request<Full<Bytes>> {
    request(Request::put(format!("/{key}")), vec![b'v'; value_bytes].into())
}

fn request(head: http::request::Builder, body: Bytes) -> Request<Full<Bytes>> {
    head.body(Full::new(body)).expect("a valid path")
}

/// This process's memory that no file backs.
fn anonymous_mib() -> anyhow::Result<f64> {
    let bytes = testkit::anonymous_bytes(std::process::id()).context("read /proc")?;
    Ok(bytes as f64 / 1024.0 / 1024.0)
}
