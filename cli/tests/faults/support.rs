//! What several tests use: a client that survives a broken connection, a seeded generator, signals for children, and a
//! Worker that says which deploy it is.

use std::{fs, time::Duration};

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Full};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Answer, Connection, Process, Script, Server, wait_until, within};

/// How long one exchange may take before the test calls it hung.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(15);

/// How long something may take that happens "at once" on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A kept connection. An exchange that breaks off is `None`, one that hangs fails the test.
pub(crate) struct Client {
    connection: Connection<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn open(address: &str) -> Self {
        Self { connection: Connection::open(address).await }
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let title = format!("{} {}", request.method(), request.uri());
        within(&title, EXCHANGE_LIMIT, async {
            let (head, body) = self.connection.send(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: head.status, headers: head.headers, body })
        })
        .await
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Option<Answer> {
        self.send(to(host, "GET", path, "")).await
    }
}

/// A request to a Worker.
pub(crate) fn to(host: &str, method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header(HOST, host);
    request.body(Full::new(body.into())).expect("a valid request")
}

/// A Worker that answers every request with `text`.
pub(crate) fn saying(name: &str, text: &str) -> Script {
    Script::module(name, &format!("export default {{ fetch: () => new Response({text:?}) }};"))
}

/// Sends a child of the server a signal.
pub(crate) fn signal(process: &Process, signal: Signal) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).expect("a process has a number");
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// Waits until the server has exactly so many engine processes.
pub(crate) async fn until_processes(server: &Server, count: usize, limit: Duration) {
    wait_until(&format!("{count} engine processes"), limit, || server.children().len() == count).await;
}

/// The most memory that a process ever had resident.
pub(crate) fn peak_resident_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts memory");
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}

/// Numbers that are the same in each run (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
