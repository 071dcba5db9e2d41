//! One instance of each object, whatever happens: deployments under load lose no request, kills lose nothing that was
//! acknowledged, and nobody can run the objects of a process that lives.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fs::File,
    time::Duration,
};

use futures_util::future::join_all;
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use tasks::Clock;
use testkit::{Server, wait_until};

use crate::support::{Client, SOON, counter, increment, signal, updated_counter};

const WRITERS: usize = 8;
const DEPLOYMENTS: usize = 4;

/// What writers on one counter know of it. Each number is given out once, by one instance, and numbers only grow.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    acknowledged: RefCell<BTreeSet<u64>>,
    highest: Cell<u64>,
    unanswered: Cell<u64>,
    slowest: Cell<Duration>,
}

impl Ledger {
    /// Asks a Worker for one number after the other.
    pub(crate) async fn write(
        &self,
        server: &Server,
        script: &str,
        is_over: impl Fn() -> bool,
        may_fail: bool,
    ) {
        let (mut client, clock) = (Client::new(server, script), Clock::system());
        while !is_over() {
            // Whoever asks now must get more than was given out before.
            let before = self.highest.get();
            let asked = clock.monotonic();
            let Some(answer) = client.post("/shared").await.filter(|answer| answer.status == 200) else {
                assert!(may_fail, "a request failed while nothing was killed");
                self.unanswered.set(self.unanswered.get() + 1);
                if server_is_gone(server) {
                    return;
                }
                continue;
            };
            self.slowest.set(self.slowest.get().max(clock.monotonic() - asked));
            let n = answer.json()["n"].as_u64().expect("a number");
            assert!(before < n, "{n} after {before}");
            assert!(self.acknowledged.borrow_mut().insert(n), "{n} was given out twice");
            self.highest.set(self.highest.get().max(n));
        }
    }

    /// The next number: nothing acknowledged is missing, and nothing was counted that nobody asked for.
    pub(crate) fn check(&self, next: u64) {
        let known = self.acknowledged.borrow().len() as u64;
        assert!(self.highest.get() < next, "{next} after {}", self.highest.get());
        assert!(next - 1 <= known + self.unanswered.get(), "{next} after {known} and {self:?}");
        self.acknowledged.borrow_mut().insert(next);
        self.highest.set(next);
    }
}

fn server_is_gone(server: &Server) -> bool {
    std::fs::metadata(format!("/proc/{}/exe", server.pid())).is_err()
}

#[tokio::test]
async fn deployments_under_load_fail_no_request_and_lose_no_count() {
    let server = Server::start().await;
    server.deploy(&counter("0")).await;
    let (ledger, is_over) = (Ledger::default(), Cell::new(false));
    let writers = join_all((0..WRITERS).map(|_| ledger.write(&server, "counter", || is_over.get(), false)));
    let deploy = async {
        for release in 1..=DEPLOYMENTS {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.deploy(&updated_counter(&release.to_string())).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        is_over.set(true);
    };
    tokio::join!(writers, deploy);
    ledger.check(increment(&server, "shared").await);
    // What a person notices of a deployment: far below the patience of any client.
    assert!(ledger.slowest.get() < Duration::from_secs(5), "a request waited {:?}", ledger.slowest.get());
    server.stop().await;
}

#[tokio::test]
async fn kills_of_the_process_and_of_the_server_lose_nothing_acknowledged() {
    let mut server = Server::start().await;
    server.deploy(&counter("0")).await;
    increment(&server, "shared").await;
    let ledger =
        Ledger { highest: Cell::new(1), acknowledged: RefCell::new([1].into()), ..Ledger::default() };
    for round in 0..4 {
        let is_server = round % 2 == 1;
        for text in ["ended unasked", "without an answer", "could not be started", "Worker is not available"]
        {
            server.log().expect(text);
        }
        let is_over = Cell::new(false);
        let writers =
            join_all((0..WRITERS).map(|_| ledger.write(&server, "counter", || is_over.get(), true)));
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if is_server {
                server.signal(Signal::KILL);
                is_over.set(true);
            } else {
                server.children().iter().for_each(|child| signal(child, Signal::KILL));
                tokio::time::sleep(Duration::from_millis(500)).await;
                is_over.set(true);
            }
        };
        tokio::join!(writers, kill);
        if is_server {
            let folder = server.kill().await;
            server = Server::builder().folder(&folder).start().await;
        }
        ledger.check(increment(&server, "shared").await);
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_runs_the_objects_of_a_process_that_lives() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    increment(&server, "a").await;
    let lock = lock_file(&server);
    assert!(try_lock(&lock).is_none(), "the process holds the lock");
    let [child] = server.children().try_into().expect("one process");

    // A server that is killed leaves its process for a moment: as long as that lives, the lock is taken.
    let folder = server.kill().await;
    wait_until("the end of the process", SOON, || !child.is_alive()).await;
    // The lock goes with its last thread, which may be a moment later.
    let mut stranger = None;
    wait_until("the end of the lock", SOON, || {
        stranger = try_lock(&lock);
        stranger.is_some()
    })
    .await;
    let server = Server::builder().folder(&folder).start().await;
    let asked = server.get("counter.localhost", "/a");
    let held = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(server.children().is_empty(), "no process while somebody else has the objects");
        drop(stranger);
    };
    let (answer, ()) = tokio::join!(asked, held);
    assert_eq!(answer.expect(200).json()["n"], 2);
    assert!(try_lock(&lock).is_none(), "the lock is the new process's");
    server.stop().await;
}

fn lock_file(server: &Server) -> std::path::PathBuf {
    let folder = server.folder().path().join("durable-objects");
    let mut files =
        std::fs::read_dir(folder).expect("the room's folder").map(|entry| entry.expect("an entry").path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "lock")).expect("a lock")
}

fn try_lock(path: &std::path::Path) -> Option<File> {
    let file = File::open(path).expect("the lock's file");
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok().map(|()| file)
}
