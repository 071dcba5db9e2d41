//! One workerd process: from its start, through its use, to its end.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::upgrade::Upgraded;
use model::{Caller, Entrypoint, ObjectNamespaceId};
use product::{Claim, ConnectionDoor, Stay};
use rustix::{
    pipe::PipeFlags,
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus},
};
use serde::Deserialize;
use tasks::{Clock, Tasks};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, unix::AsyncFd},
    net::{UnixListener, unix::pipe},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use workerd_wire::command_line;

use crate::{
    config::{BINDINGS_SOCKET, EGRESS_SOCKET, Ways},
    folder::{Folder, Folders},
    fork::{Child, Forker, Order, watch_end},
    output::Output,
    pool::{Pool, PooledBody, RequestBody, SendError},
    usage::Usage,
};

/// Connections of one process to one of our sockets; further ones wait in the socket's queue. More than the 1024 at which
/// the egress refuses one: a Worker that calls itself without end must be told so, not wait for itself.
const CONNECTIONS_MAX: usize = 2048;
/// How often a start looks at the CPU time used so far.
const STARTUP_CPU_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// A process that was told to end and holds nothing any more gets this long before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests that run may take to end when the Durable Objects are to be handed to another process: new requests
/// wait as long.
const HANDOVER_REQUESTS: Duration = Duration::from_secs(5);
/// The same for what they left to `waitUntil`.
const HANDOVER_WAIT_UNTIL: Duration = Duration::from_millis(500);
/// A process that dies closes its sockets some milliseconds before its end is seen; so long an error waits for that.
const END_NOTICE_TIMEOUT: Duration = Duration::from_millis(250);
/// Linux counts CPU time for user space in hundredths of a second on every architecture (`USER_HZ`).
const CPU_TICK_MS: u64 = 10;

/// Everything a start needs that is the same for all processes.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) program: PathBuf,
    pub(crate) forker: Forker,
    pub(crate) folders: Folders,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) limits: StartLimits,
}

/// How long a start may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartLimits {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Why a process did not come to answer.
#[derive(Debug)]
pub(crate) enum StartFailure {
    /// It ended by itself and said why: the version's fault.
    Refused(Vec<String>),
    /// Its global scope used more CPU time than allowed.
    CpuExceeded,
    /// It neither answered nor ended in time.
    TimedOut(Duration),
    /// It could not be started at all.
    Io(io::Error),
}

impl From<io::Error> for StartFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How long a process that is put to rest may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For requests that run.
    pub(crate) requests: Duration,
    /// For work that answered requests left to `waitUntil`.
    pub(crate) wait_until: Duration,
    /// The same while the server stops.
    pub(crate) wait_until_at_shutdown: Duration,
}

impl Patience {
    /// The same for a process that another one waits for.
    fn while_others_wait(self) -> Self {
        Self {
            requests: self.requests.min(HANDOVER_REQUESTS),
            wait_until: self.wait_until.min(HANDOVER_WAIT_UNTIL),
            wait_until_at_shutdown: self.wait_until_at_shutdown.min(HANDOVER_WAIT_UNTIL),
        }
    }
}

/// What a process is started with.
pub(crate) struct Plan {
    pub(crate) caller: Arc<Caller>,
    /// The encoded configuration.
    pub(crate) config: Vec<u8>,
    /// The further ways in that it has.
    pub(crate) ways: Ways,
    /// The right to the Durable Objects that it runs, if it runs any.
    pub(crate) claim: Option<Claim>,
}

/// What a process is started for.
pub(crate) enum Purpose {
    /// To run a Worker; who takes the connections that it opens.
    Worker { bindings: Arc<dyn ConnectionDoor>, egress: Arc<dyn ConnectionDoor> },
    /// To see whether it starts with no experimental feature at hand.
    FlagProbe,
}

/// A process that answers on its sockets.
pub(crate) struct Process {
    pub(crate) caller: Arc<Caller>,
    pub(crate) startup: Duration,
    pub(crate) started_at: Instant,
    folder: Folder,
    handle: Handle,
    usage: Usage,
    /// The streams of calls that are open, those included over which nothing is asked.
    streams: Usage,
    /// Cancelled when it is being put to rest: the streams are to end as soon as nothing is open over them.
    resting: CancellationToken,
    /// Cancelled when its WebSockets are to be closed.
    parting: CancellationToken,
    /// Its stay with the Durable Objects that it runs, until it has ended.
    stay: Mutex<Option<Arc<dyn Stay>>>,
    /// Whether it runs Durable Objects.
    has_objects: bool,
    /// The further ways in, besides the default export.
    ways: Ways,
    /// One for each way in, the default export's first.
    pools: Vec<Arc<Pool>>,
    clock: Clock,
    /// Cancelled when the process has ended.
    ended: CancellationToken,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Process").field("script", &self.caller.script).finish_non_exhaustive()
    }
}

/// A process that listens, before its first request.
struct Started {
    process: Arc<Process>,
    output: Output,
    /// Ends when all that it printed was read.
    printed: JoinHandle<()>,
}

/// The operating system's handle: signals through it never hit another process that got the same number.
#[derive(Debug)]
struct Handle {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Its exit code or signal, for people.
    pub(crate) end: String,
    /// Whether it was being put to rest.
    pub(crate) is_expected: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Exit(i32),
    Signal(i32),
    Unknown,
}

impl Workshop {
    /// Starts a process with an encoded configuration and waits until its socket answers.
    pub(crate) async fn start(&self, plan: Plan, purpose: Purpose) -> Result<Arc<Process>, StartFailure> {
        let Started { process, output, .. } = self.start_listening(plan, purpose).await?;
        output.end_startup_well();
        Ok(process)
    }

    /// Starts a process to see whether it can, and ends it. Also says which classes of Durable Objects it does not export.
    pub(crate) async fn try_out(
        &self,
        plan: Plan,
        purpose: Purpose,
    ) -> Result<(Duration, Vec<String>), StartFailure> {
        let Started { process, output, printed } = self.start_listening(plan, purpose).await?;
        process.kill();
        process.wait_for_end().await;
        drop(tokio::time::timeout(END_TIMEOUT, printed).await);
        let missing = output.missing_classes();
        output.end_startup_well();
        Ok((process.startup, missing))
    }

    async fn start_listening(&self, plan: Plan, purpose: Purpose) -> Result<Started, StartFailure> {
        let Plan { caller, config, ways, claim } = plan;
        let (lock, stay) = claim.map(|Claim { lock, stay, .. }| (lock, Arc::from(stay))).unzip();
        let sockets = ways.socket_names();
        let started_at = self.clock.monotonic();
        let folder = self.folders.create()?;
        let ended = CancellationToken::new();
        // Until the process runs, a failure ends the doors that were opened for it.
        let doors = ended.clone().drop_guard();
        let arguments: &[&str] = match purpose {
            Purpose::Worker { bindings, egress } => {
                self.open_door(&folder, BINDINGS_SOCKET, &caller, bindings, &ended)?;
                self.open_door(&folder, EGRESS_SOCKET, &caller, egress, &ended)?;
                &command_line::SERVE_FROM_STDIN
            }
            Purpose::FlagProbe => &command_line::SERVE_WITHOUT_EXPERIMENTAL,
        };
        let (control, child) = self.fork(&folder, arguments, &sockets, lock).await?;
        let handle = Handle { pid: child.pid, pidfd: watch_end(child.pidfd)? };
        // From here on a failure must not leave the process behind.
        let guard = KillGuard { handle: Some(handle) };
        let output = Output::new(Arc::clone(&caller));
        let stdout = pipe::Receiver::from_owned_fd(child.stdout)?;
        let printed = self.tasks.spawn_draining("process-stdout", output.clone().read(stdout));
        let stderr = pipe::Receiver::from_owned_fd(child.stderr)?;
        let errors_read = self.tasks.spawn_draining("process-stderr", output.clone().read(stderr));
        let stdin = pipe::Sender::from_owned_fd(child.stdin)?;
        let control = pipe::Receiver::from_owned_fd(control)?;

        let is_listening =
            self.until_listening(guard.pid(), stdin, config, has_announced(control, sockets.clone())).await?;
        if !is_listening {
            // Its control pipe is closed, so it is ending: wait for its last words.
            drop(tokio::time::timeout(END_TIMEOUT, errors_read).await);
            return Err(StartFailure::Refused(output.end_startup()));
        }
        doors.disarm();
        let now = self.clock.monotonic();
        let process = Arc::new(Process {
            caller,
            startup: now.duration_since(started_at),
            started_at: now,
            folder,
            handle: guard.disarm(),
            usage: Usage::default(),
            streams: Usage::default(),
            resting: CancellationToken::new(),
            parting: CancellationToken::new(),
            has_objects: stay.is_some(),
            stay: Mutex::new(stay),
            ways,
            pools: sockets.into_iter().map(|name| Arc::new(Pool::new(name, self.tasks.clone()))).collect(),
            clock: self.clock.clone(),
            ended,
        });
        process.usage.begin(self.clock.unix_ms());
        Ok(Started { process, output, printed })
    }

    fn open_door(
        &self,
        folder: &Folder,
        socket: &str,
        caller: &Arc<Caller>,
        door: Arc<dyn ConnectionDoor>,
        ended: &CancellationToken,
    ) -> io::Result<()> {
        let listener = folder.listen(socket)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let (tasks, caller, ended) = (self.tasks.clone(), Arc::clone(caller), ended.clone());
        let accept = accept(listener, door, caller, tasks, ended.clone());
        self.tasks.spawn_draining("process-door", async move {
            ended.run_until_cancelled(accept).await;
        });
        Ok(())
    }

    async fn fork(
        &self,
        folder: &Folder,
        arguments: &[&str],
        sockets: &[String],
        lock: Option<OwnedFd>,
    ) -> io::Result<(OwnedFd, Child)> {
        let (control, control_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.push(command_line::control_fd(control_write.as_raw_fd()).into());
        let mut inherited = vec![control_write];
        inherited.extend(lock);
        for name in sockets {
            let listener = OwnedFd::from(folder.listen(name)?);
            arguments.push(command_line::socket_fd(name, listener.as_raw_fd()).into());
            inherited.push(listener);
        }
        let order = Order { program: self.program.clone(), arguments, folder: folder.path(), inherited };
        Ok((control, self.forker.spawn(order).await?))
    }

    /// Hands over the configuration and waits until the process listens (`true`) or gives up (`false`).
    async fn until_listening(
        &self,
        pid: Pid,
        mut stdin: pipe::Sender,
        config: Vec<u8>,
        announced: impl Future<Output = bool>,
    ) -> Result<bool, StartFailure> {
        let feed = async move {
            // A process that does not read to the end is ending; its last words say why.
            drop(stdin.write_all(&config).await);
            drop(stdin);
        };
        let listening = async {
            let (is_listening, ()) = tokio::join!(announced, feed);
            Ok(is_listening)
        };
        let limits = self.limits;
        tokio::select! {
            outcome = listening => outcome,
            () = cpu_exceeds(pid, limits.cpu) => Err(StartFailure::CpuExceeded),
            () = tokio::time::sleep(limits.wall) => Err(StartFailure::TimedOut(limits.wall)),
        }
    }
}

/// Takes connections for as long as the process lives.
async fn accept(
    listener: UnixListener,
    door: Arc<dyn ConnectionDoor>,
    caller: Arc<Caller>,
    tasks: Tasks,
    ended: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!(script = %caller.script, %error, "A connection from a process could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let serve = door.serve(Arc::clone(&caller), connection);
        let ended = ended.clone();
        tasks.spawn_draining("process-connection", async move {
            ended.run_until_cancelled(serve).await;
            drop(place);
        });
    }
}

/// Waits until all sockets are announced on the control pipe; `false` if the pipe ends before.
async fn has_announced(control: pipe::Receiver, mut sockets: Vec<String>) -> bool {
    #[derive(Deserialize)]
    struct Event {
        event: String,
        socket: Option<String>,
    }
    let mut lines = BufReader::new(control).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        if event.event == command_line::EVENT_LISTEN {
            sockets.retain(|name| event.socket.as_ref() != Some(name));
        }
        if sockets.is_empty() {
            return true;
        }
    }
    false
}

/// Returns once the process has used more CPU time than `limit`.
async fn cpu_exceeds(pid: Pid, limit: Duration) {
    loop {
        tokio::time::sleep(STARTUP_CPU_CHECK_INTERVAL).await;
        if cpu_time(pid).is_some_and(|used| limit < used) {
            return;
        }
    }
}

/// CPU time of a process so far, user and system.
fn cpu_time(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The program's name stands in parentheses and may hold anything; the 12th and 13th field after it are the times.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * CPU_TICK_MS))
}

/// Kills the process unless disarmed: a start that fails or is given up leaves nothing behind.
struct KillGuard {
    handle: Option<Handle>,
}

impl KillGuard {
    fn pid(&self) -> Pid {
        self.handle.as_ref().map_or(Pid::INIT, |handle| handle.pid)
    }

    fn disarm(mut self) -> Handle {
        self.handle.take().expect("a guard is disarmed once, by value")
    }
}

impl Drop for KillGuard {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        handle.signal(Signal::KILL);
        // A killed process ends at once, so this does not wait in any way that matters.
        rustix::process::waitid(WaitId::PidFd(handle.pidfd.get_ref().as_fd()), WaitIdOptions::EXITED).ok();
    }
}

impl Handle {
    fn signal(&self, signal: Signal) {
        // A process that has ended already cannot be signalled, and need not be.
        rustix::process::pidfd_send_signal(self.pidfd.get_ref(), signal).ok();
    }

    async fn wait(&self) -> End {
        // Readable once the process has ended.
        drop(self.pidfd.readable().await);
        let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
        match rustix::process::waitid(id, WaitIdOptions::EXITED) {
            Ok(Some(status)) => End::from(status),
            Ok(None) | Err(_) => End::Unknown,
        }
    }
}

impl From<WaitIdStatus> for End {
    fn from(status: WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
            Self::Unknown => formatter.write_str("an unknown end"),
        }
    }
}

impl Process {
    pub(crate) fn pid(&self) -> Pid {
        self.handle.pid
    }

    /// Takes a lease, unless the process is being put to rest.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let is_alive = !self.ended.is_cancelled() && self.usage.enter();
        is_alive.then(|| Lease { process: Arc::clone(self), pool: Arc::clone(&self.pools[0]) })
    }

    /// Whether others can come in by this way.
    pub(crate) fn has(&self, way: &Entrypoint) -> bool {
        self.ways.of_entrypoint(way).is_some()
    }

    /// Whether it runs the objects of a namespace.
    pub(crate) fn runs(&self, namespace: &ObjectNamespaceId) -> bool {
        self.ways.of_namespace(namespace).is_some()
    }

    /// Closes our ends of kept connections whose other end the process has closed.
    pub(crate) fn sweep_connections(&self) {
        self.pools.iter().for_each(|pool| pool.sweep());
    }

    /// Stops giving leases if the process was not used for `idle`.
    pub(crate) fn close_if_idle(&self, idle: Duration) -> bool {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.usage.close_if_idle(self.clock.unix_ms(), idle_ms)
    }

    /// Whether nobody uses it, and nobody has for `idle`.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.usage.is_idle(self.clock.unix_ms(), idle_ms)
    }

    /// Waits for its end and reaps it. Called by one task only.
    pub(crate) async fn wait_for_end(&self) -> Ended {
        let end = self.handle.wait().await.to_string();
        let is_expected = self.usage.is_closed();
        self.usage.close();
        self.ended.cancel();
        self.stay().take();
        Ended { end, is_expected }
    }

    /// Gives no more leases and has the streams ended once nothing is open over them. Where the next process waits for the
    /// end of this one, WebSockets are closed at once.
    pub(crate) fn rest(&self) {
        self.usage.close();
        self.streams.close();
        self.resting.cancel();
        if self.has_objects {
            self.parting.cancel();
        }
    }

    /// Its stay with the Durable Objects that it runs.
    pub(crate) fn stay(&self) -> MutexGuard<'_, Option<Arc<dyn Stay>>> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no new requests, lets those that run come to their end within `patience.requests`, gives what they left to
    /// `waitUntil` the time `patience.wait_until` counted from the last answer, then ends the process.
    pub(crate) async fn drain(&self, patience: Patience, stopping: &CancellationToken) {
        self.rest();
        let patience = if self.has_objects { patience.while_others_wait() } else { patience };
        let unused = async {
            // In this order: a stream without a lease may take one until it ends.
            self.streams.drained().await;
            self.usage.drained().await;
        };
        tokio::select! {
            () = self.ended.cancelled() => return,
            () = unused => {}
            () = tokio::time::sleep(patience.requests) => {
                let Caller { script, version, .. } = &*self.caller;
                tracing::info!(%script, %version, "Requests that still ran at the drain deadline are cut");
            }
        }
        // workerd ends without waiting for `waitUntil` (seen with 2026-11-17), so we wait before we ask it to.
        if self.usage.was_used() {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = self.unused_for(patience.wait_until) => {}
                () = async { stopping.cancelled().await; self.unused_for(patience.wait_until_at_shutdown).await } => {}
            }
        }
        self.parting.cancel();
        if self.has_objects {
            // What was answered is on disk. Told to end, workerd would wait for its WebSockets, and run what objects do when
            // a client leaves, while the client is about to come back to the next process.
            self.kill();
            self.ended.cancelled().await;
            return;
        }
        self.handle.signal(Signal::TERM);
        tokio::time::timeout(END_TIMEOUT, self.ended.cancelled()).await.ok();
        self.kill();
    }

    /// Waits until the last answer is `age` old.
    async fn unused_for(&self, age: Duration) {
        let unused = Duration::from_millis(self.usage.unused_ms(self.clock.unix_ms()));
        tokio::time::sleep(age.saturating_sub(unused)).await;
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        self.usage.close();
        if !self.ended.is_cancelled() {
            self.handle.signal(Signal::KILL);
        }
    }
}

/// The right to use a version's process: while one is held, the process is not put to sleep.
#[derive(Debug)]
pub struct Lease {
    process: Arc<Process>,
    /// Of the way in that was asked for.
    pool: Arc<Pool>,
}

impl Lease {
    /// Sends a request to the Worker's fetch handler over a kept HTTP/1.1 connection. Its URI is in origin form and it
    /// carries `Host`. An answer with status 101 is taken over with `hyper::upgrade::on`. An error is returned once the
    /// process was seen to end, if it did: a repeat then meets its successor.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Response<ProcessBody>, SendError> {
        match self.pool.send(&self.process.folder, request).await {
            Ok(answer) => Ok(answer.map(|body| ProcessBody { body, _lease: self.clone() })),
            Err(error) => {
                if error.is_process_gone {
                    tokio::time::timeout(END_NOTICE_TIMEOUT, self.process.ended.cancelled()).await.ok();
                }
                Err(error)
            }
        }
    }

    /// Opens a stream for calls from another Worker (JS RPC).
    pub async fn open_rpc(self) -> io::Result<(Upgraded, CallsLease)> {
        let stream = self.pool.open_rpc(&self.process.folder).await?;
        if !self.process.streams.enter() {
            return Err(io::Error::other("the process is being put to rest"));
        }
        Ok((
            stream,
            CallsLease {
                process: Arc::clone(&self.process),
                pool: Arc::clone(&self.pool),
                lease: Some(self),
            },
        ))
    }

    /// The same process by another way in; gives the lease back if it has no such way.
    pub(crate) fn by(self, way: &Entrypoint) -> Result<Self, Self> {
        match self.process.ways.of_entrypoint(way) {
            Some(socket) => Ok(self.through(socket)),
            None => Err(self),
        }
    }

    /// The same process by the gate of a namespace; `None` if it does not run its objects.
    pub(crate) fn by_gate(self, namespace: &ObjectNamespaceId) -> Option<Self> {
        let socket = self.process.ways.of_namespace(namespace)?;
        Some(self.through(socket))
    }

    fn through(mut self, socket: usize) -> Self {
        self.pool = Arc::clone(&self.process.pools[socket]);
        self
    }

    /// Waits until the process is being put to rest: it is to be given up unless it is needed to finish something.
    pub fn resting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.process.resting.clone().cancelled_owned()
    }

    /// Waits until the process's WebSockets are to be closed: it is about to end.
    pub fn parting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.process.parting.clone().cancelled_owned()
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw_nonzero().get()
    }

    /// Whether the process has ended since the lease was taken.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.process.ended.is_cancelled()
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        // The count is at least one already, and a closed process may finish what it has begun: `enter` may refuse here, so
        // the count is raised without asking.
        self.process.usage.enter_again();
        Self { process: Arc::clone(&self.process), pool: Arc::clone(&self.pool) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.process.usage.leave(self.process.clock.unix_ms());
    }
}

/// The right to a stream of calls. The process is kept awake only while something is open over it, but does not end
/// before this is dropped, unless its time is up.
#[derive(Debug)]
pub struct CallsLease {
    process: Arc<Process>,
    pool: Arc<Pool>,
    /// Held while something is open.
    lease: Option<Lease>,
}

impl CallsLease {
    /// Says whether something is open.
    pub fn set_asked(&mut self, is_asked: bool) {
        match (is_asked, &self.lease) {
            (true, None) => {
                // A process that rests still waits for its streams, so it answers this question too.
                self.process.usage.enter_again();
                let (process, pool) = (Arc::clone(&self.process), Arc::clone(&self.pool));
                self.lease = Some(Lease { process, pool });
            }
            (false, Some(_)) => self.lease = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether the process is being put to rest, or has ended: nothing new is to begin over the stream.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.process.resting.is_cancelled() || self.process.ended.is_cancelled()
    }

    /// Waits until the process is being put to rest: the stream is to end as soon as nothing is open over it.
    pub fn resting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.process.resting.clone().cancelled_owned()
    }
}

impl Drop for CallsLease {
    fn drop(&mut self) {
        self.process.streams.leave(self.process.clock.unix_ms());
    }
}

/// The body of an answer; keeps the process awake until it was read or dropped.
#[derive(Debug)]
pub struct ProcessBody {
    body: PooledBody,
    _lease: Lease,
}

impl http_body::Body for ProcessBody {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
