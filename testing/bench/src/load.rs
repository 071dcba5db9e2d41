//! The load generator: a number of keep-alive connections, each asking again as soon as it is answered. The same for every
//! side.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use testkit::Connection;
use tokio::task::JoinSet;

/// Connections of every measurement.
pub(crate) const CONNECTIONS: usize = 16;

/// Where requests go and what they look like.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) method: Method,
    /// Each connection keeps to one of them.
    pub(crate) paths: Vec<String>,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: Bytes,
}

impl Target {
    /// Reads one path.
    pub(crate) fn get(address: impl Into<String>, host: impl Into<String>, path: &str) -> Self {
        let (address, host) = (address.into(), host.into());
        Self {
            address,
            host,
            method: Method::GET,
            paths: vec![path.to_owned()],
            headers: &[],
            body: Bytes::new(),
        }
    }
}

/// Loads a target for a while; answers per second. Any answer but 200 is an error: a failing side is quick.
pub(crate) async fn run(target: &Target, duration: Duration) -> anyhow::Result<f64> {
    let begun = now();
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let target = target.clone();
        connections.spawn(async move { connection(&target, number, begun, duration).await });
    }
    let mut answers = 0_u32;
    while let Some(outcome) = connections.join_next().await {
        answers += outcome.context("wait for a connection")??;
    }
    Ok(f64::from(answers) / begun.elapsed().as_secs_f64())
}

/// One request over a connection of its own.
pub(crate) async fn once(target: &Target) -> anyhow::Result<()> {
    Exchanges::open(target).await.next().await
}

async fn connection(
    target: &Target,
    number: usize,
    begun: Instant,
    duration: Duration,
) -> anyhow::Result<u32> {
    let mut exchanges = Exchanges::open(target).await;
    exchanges.path = &target.paths[number % target.paths.len()];
    let mut answers = 0;
    while begun.elapsed() < duration {
        exchanges.next().await?;
        answers += 1;
    }
    Ok(answers)
}

/// A keep-alive connection that asks for the same again and again.
pub(crate) struct Exchanges<'a> {
    connection: Connection<Full<Bytes>>,
    target: &'a Target,
    path: &'a str,
}

impl<'a> Exchanges<'a> {
    pub(crate) async fn open(target: &'a Target) -> Self {
        Self { connection: Connection::open(&target.address).await, target, path: &target.paths[0] }
    }

    /// Asks and reads the answer.
    pub(crate) async fn next(&mut self) -> anyhow::Result<()> {
        let Target { host, method, headers, body, .. } = self.target;
        let request = Request::builder().method(method).uri(self.path);
        let mut request = request.header(http::header::HOST, host);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.clone())).context("build a request")?;
        let response = self.connection.send(request).await.with_context(|| format!("ask {host}"))?;
        let status = response.status();
        let body = response.into_body().collect().await.context("read an answer")?.to_bytes();
        ensure!(status == StatusCode::OK, "{host} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }
}

/// The time, for measuring.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
