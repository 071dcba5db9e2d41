//! Which versions have a process: starts them when they are asked for, puts them to sleep when nobody asks, starts them
//! again when they end, and drains them when they are replaced.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use model::{Caller, Entrypoint, ObjectNamespaceId, ObjectsRole, VersionId, WorkerVersion};
use product::{Claim, ConnectionDoor, ObjectHomes, Runtime, Trial, TrialError, VersionSource};
use tasks::{Clock, Tasks};
use telemetry::{Counter, Gauge, Histogram, Metrics};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Storage, Ways},
    error::StartError,
    flags::Answers,
    folder::Folders,
    fork::Forker,
    process::{Lease, Patience, Plan, Process, Purpose, StartFailure, StartLimits, Workshop},
    slot::{Slot, Start, State},
};

/// How often sleepers are looked for, at most; short idle times are looked at more often.
const IDLE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Processes that end while they are being acquired: after so many tries the version counts as unavailable.
const ACQUIRE_ATTEMPTS_MAX: usize = 5;

/// A process is not put to sleep if an alarm of its Durable Objects is due so soon.
const ALARM_SOON: Duration = Duration::from_secs(10);

/// Work left to `waitUntil` when the server stops: whoever stops a server waits for it, so this is short.
const WAIT_UNTIL_AT_SHUTDOWN: Duration = Duration::from_secs(1);

/// What workerd adds to the refusal of an experimental flag; the Worker's author has no such command line.
const ADVICE_FOR_OPERATORS: &str = " To use this flag, you must pass --experimental on the command line.";

/// How processes are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The workerd program.
    pub program: PathBuf,
    /// The folder for sockets; made anew at each start.
    pub run_folder: PathBuf,
    /// A process without a request for this long is stopped.
    pub idle_timeout: Duration,
    /// How long a process that is replaced or stopped may finish its requests.
    pub drain_timeout: Duration,
    /// How long work left to `waitUntil` may run after the answer (Cloudflare: 30 s).
    pub wait_until_limit: Duration,
    /// How long a start may take.
    pub startup_timeout: Duration,
    /// How much CPU time a start may use.
    pub startup_cpu: Duration,
}

/// What the engine needs of others, given once they exist.
pub struct Wiring {
    /// Where code comes from.
    pub source: Arc<dyn VersionSource>,
    /// Takes what Workers say to their bindings.
    pub bindings: Arc<dyn ConnectionDoor>,
    /// Takes what Workers send out.
    pub egress: Arc<dyn ConnectionDoor>,
    /// Where Durable Objects are kept.
    pub homes: Arc<dyn ObjectHomes>,
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Wiring(…)")
    }
}

/// Runs the processes; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    settings: Settings,
    workshop: Workshop,
    wiring: OnceLock<Wiring>,
    slots: Mutex<HashMap<VersionId, Arc<Slot>>>,
    /// Cancelled when the server stops.
    stopping: CancellationToken,
    flag_answers: Answers,
    figures: Figures,
}

struct Figures {
    running: Gauge,
    starts: Counter,
    failed_starts: Counter,
    crashes: Counter,
    start_seconds: Histogram,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Engine {
    /// Prepares to run processes; none is started.
    pub fn new(settings: Settings, clock: Clock, tasks: Tasks, metrics: &Metrics) -> io::Result<Self> {
        let workshop = Workshop {
            program: settings.program.clone(),
            forker: Forker::start()?,
            folders: Folders::open(&settings.run_folder)?,
            clock,
            tasks: tasks.clone(),
            limits: StartLimits { wall: settings.startup_timeout, cpu: settings.startup_cpu },
        };
        let figures = Figures {
            running: metrics.gauge("worker_processes", "workerd processes that run now"),
            starts: metrics.counter("worker_starts", "workerd processes started"),
            failed_starts: metrics
                .counter("worker_starts_failed", "workerd processes that did not come to answer"),
            crashes: metrics.counter("worker_crashes", "workerd processes that ended unasked"),
            start_seconds: metrics
                .seconds("worker_start_seconds", "Time from the start of a process until it answers"),
        };
        let engine = Self(Arc::new(Inner {
            settings,
            workshop,
            wiring: OnceLock::new(),
            slots: Mutex::default(),
            stopping: CancellationToken::new(),
            flag_answers: Answers::default(),
            figures,
        }));
        tasks.spawn("engine-idle", engine.clone().put_idle_to_sleep());
        Ok(engine)
    }

    /// Connects the engine with the rest of the house. Called once, before the first request.
    pub fn connect(&self, wiring: Wiring) {
        assert!(self.0.wiring.set(wiring).is_ok(), "the engine is connected once");
    }

    /// The process of a version: the running one, or a new one (the caller waits while it starts).
    pub async fn acquire(&self, version: VersionId) -> Result<Lease, StartError> {
        for _ in 0..ACQUIRE_ATTEMPTS_MAX {
            let start = match self.look(&self.slot(version))? {
                Look::Ready(lease) => return Ok(lease),
                Look::Wait(start) => start,
            };
            // `None`: it ended or was drained before this request came to it.
            if let Some(lease) = start.await?.lease() {
                return Ok(lease);
            }
        }
        Err(StartError::Unavailable("the Worker's process ended each time it had started".to_owned()))
    }

    /// The process of a version by one of its ways in. A process that was started before anybody wanted this way is
    /// replaced. `None`: the version was retired meanwhile.
    pub async fn acquire_by(
        &self,
        version: VersionId,
        way: &Entrypoint,
    ) -> Result<Option<Lease>, StartError> {
        let slot = self.slot(version);
        for _ in 0..ACQUIRE_ATTEMPTS_MAX {
            if !self.is_current(&slot) {
                return Ok(None);
            }
            slot.want(way)?;
            let lease = match self.look(&slot)? {
                Look::Ready(lease) => lease,
                Look::Wait(start) => match start.await?.lease() {
                    Some(lease) => lease,
                    None => continue,
                },
            };
            match lease.by(way) {
                Ok(lease) => return Ok(Some(lease)),
                Err(_without) => {
                    // It may have been refused while this request waited: then the process stays as it is.
                    slot.want(way)?;
                    if let Some(process) = slot.take_running_if(|process| !process.has(way)) {
                        self.drain_in_background(&process);
                    }
                }
            }
        }
        Err(StartError::Unavailable("the Worker's process ended each time it had started".to_owned()))
    }

    /// The process that runs a namespace's objects, by its gate. `None`: the version does not run them, or did not until now; a
    /// process from that time is replaced.
    pub async fn acquire_objects(
        &self,
        owner: VersionId,
        namespace: &ObjectNamespaceId,
    ) -> Result<Option<Lease>, StartError> {
        let lease = match self.acquire(owner).await {
            Err(StartError::Replaced(_)) => return Ok(None),
            acquired => acquired?.by_gate(namespace),
        };
        if lease.is_none()
            && let Some(process) = self.slot(owner).take_running_if(|process| !process.runs(namespace))
        {
            self.drain_in_background(&process);
        }
        Ok(lease)
    }

    /// The caller's own process, if it is not being put to rest.
    #[must_use]
    pub fn process_of(&self, caller: &Arc<Caller>) -> Option<Lease> {
        let slot = self.slots().get(&caller.version).map(Arc::clone)?;
        let process = slot.running().filter(|process| Arc::ptr_eq(&process.caller, caller))?;
        process.lease()
    }

    /// Lets all requests come to their end and stops every process, those included that were being put to rest.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        let slots = std::mem::take(&mut *self.slots());
        let running = slots.values().filter_map(|slot| slot.take_running());
        join_all(running.map(|process| self.drain(process))).await;
    }

    fn look(&self, slot: &Arc<Slot>) -> Result<Look, StartError> {
        let now = self.0.workshop.clock.monotonic();
        slot.with_state(|state| {
            match state {
                State::Running(process) => {
                    if let Some(lease) = process.lease() {
                        return Ok(Look::Ready(lease));
                    }
                }
                State::Starting(start) => return Ok(Look::Wait(start.clone())),
                State::Resting(until, cause) if now < *until => {
                    // What the author must mend is said as it is; a crash is said with the time until the next try.
                    return Err(match cause {
                        StartError::Rejected(_) | StartError::Missing(_) | StartError::Replaced(_) => {
                            cause.clone()
                        }
                        StartError::CrashLoop { .. } | StartError::Unavailable(_) => {
                            StartError::CrashLoop { cause: cause.to_string(), retry_after: *until - now }
                        }
                    });
                }
                State::Stopped | State::Resting(..) => {}
            }
            let start = self.begin(slot, self.clone().start_stored(Arc::clone(slot)).boxed());
            *state = State::Starting(start.clone());
            Ok(Look::Wait(start))
        })
    }

    /// Runs a start on a task of its own, so that it goes on when the request that caused it is given up.
    fn begin(&self, slot: &Arc<Slot>, start: BoxFuture<'static, Result<Arc<Process>, StartError>>) -> Start {
        let (engine, slot) = (self.clone(), Arc::clone(slot));
        let (done, outcome) = tokio::sync::oneshot::channel();
        self.0.workshop.tasks.spawn_draining("worker-start", async move {
            let outcome = start.await;
            slot.started(&outcome, engine.0.workshop.clock.monotonic());
            engine.log_start(slot.version, &outcome);
            if let Ok(process) = &outcome {
                engine.watch(Arc::clone(&slot), Arc::clone(process));
                // The version was retired while it started.
                if !engine.is_current(&slot) {
                    engine.retire_slot(&slot);
                }
            }
            // Nobody may be waiting any more.
            drop(done.send(outcome));
        });
        let stopped = || Err(StartError::Unavailable("the server is stopping".to_owned()));
        async move { outcome.await.unwrap_or_else(|_| stopped()) }.boxed().shared()
    }

    async fn start_stored(self, slot: Arc<Slot>) -> Result<Arc<Process>, StartError> {
        let version = slot.version;
        let loaded = self.wiring().source.load(version).await;
        let loaded =
            loaded.map_err(|error| StartError::Unavailable(format!("read version {version}: {error}")))?;
        let worker = loaded.ok_or(StartError::Missing(version))?;
        let role = worker.objects.as_ref().map(|objects| objects.role);
        if role == Some(ObjectsRole::Replaced) {
            return Err(StartError::Replaced(version));
        }
        let caller = Arc::new(worker.caller());
        // Ends: each further round has fewer ways left to doubt.
        loop {
            let claim = self.claim(&slot, &worker).await?;
            let folder = claim.as_ref().map(|claim| claim.folder.to_string_lossy());
            let storage = folder.as_deref().map_or(Storage::None, Storage::Folder);
            let ways = ways(&worker, slot.ways());
            let config = config::encode(&worker, &caller.calls_key, &ways, storage)?;
            let plan = Plan { caller: Arc::clone(&caller), config, ways: ways.clone(), claim };
            match self.start(plan).await {
                Ok(process) => {
                    slot.prove(&ways.entrypoints);
                    return Ok(process);
                }
                Err(error @ StartError::Rejected(_)) if slot.doubt(&ways.entrypoints, &error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The right to run the version's Durable Objects. Waits until the process that has it has ended.
    async fn claim(&self, slot: &Arc<Slot>, worker: &WorkerVersion) -> Result<Option<Claim>, StartError> {
        let owned = worker.objects.as_ref().filter(|objects| objects.role == ObjectsRole::Owner);
        let Some(objects) = owned else { return Ok(None) };
        let claim = self.wiring().homes.claim(objects).await;
        let claim = claim.map_err(|error| {
            StartError::Unavailable(format!("take the Durable Objects of `{}`: {error}", worker.script))
        })?;
        // Of a version that passed its objects on while it started: who still wants it starts it anew, without them.
        let claim = claim.filter(|_| self.is_current(slot));
        Ok(Some(claim.ok_or(StartError::Replaced(worker.id))?))
    }

    async fn start(&self, plan: Plan) -> Result<Arc<Process>, StartError> {
        Ok(self.0.workshop.start(plan, self.purpose()).await?)
    }

    fn purpose(&self) -> Purpose {
        let wiring = self.wiring();
        Purpose::Worker { bindings: Arc::clone(&wiring.bindings), egress: Arc::clone(&wiring.egress) }
    }

    fn log_start(&self, version: VersionId, outcome: &Result<Arc<Process>, StartError>) {
        let figures = &self.0.figures;
        figures.starts.inc();
        match outcome {
            Ok(process) => {
                figures.running.inc();
                figures.start_seconds.observe(process.startup.as_secs_f64());
                let pid = process.pid().as_raw_nonzero();
                let startup_ms = millis(process.startup);
                tracing::info!(script = %process.caller.script, %version, pid, startup_ms, "Worker started");
            }
            Err(_) => {
                // Whoever asked for the start says what became of it.
                figures.failed_starts.inc();
            }
        }
    }

    /// Waits for the end of a process and notes what it means for its version.
    fn watch(&self, slot: Arc<Slot>, process: Arc<Process>) {
        let engine = self.clone();
        self.0.workshop.tasks.spawn_draining("worker-watch", async move {
            let was_asked = process.wait_for_end().await;
            engine.0.figures.running.dec();
            let (script, version) = (&process.caller.script, slot.version);
            let now = engine.0.workshop.clock.monotonic();
            slot.ended(&process, was_asked.is_expected, &was_asked.end, now);
            if was_asked.is_expected {
                tracing::info!(%script, %version, "Worker stopped");
            } else {
                engine.0.figures.crashes.inc();
                tracing::warn!(%script, %version, end = was_asked.end, "Worker's process ended unasked");
            }
        });
    }

    async fn put_idle_to_sleep(self) {
        let idle_timeout = self.0.settings.idle_timeout;
        let interval = (idle_timeout / 4).clamp(Duration::from_millis(50), IDLE_CHECK_INTERVAL_MAX);
        loop {
            tokio::time::sleep(interval).await;
            let slots: Vec<_> = self.slots().values().cloned().collect();
            for slot in slots {
                if has_alarm_soon(&slot, idle_timeout, self.0.workshop.clock.unix_ms()).await {
                    continue;
                }
                if let Some(process) = slot.take_idle(idle_timeout) {
                    self.drain_in_background(&process);
                } else if let Some(process) = slot.running() {
                    process.sweep_connections();
                }
            }
            // Versions of which nothing is left to know: a new request makes them a new slot.
            self.slots().retain(|_, slot| !slot.is_blank());
        }
    }

    /// Puts the process of a slot to rest that no request finds any more; one that still starts sees that itself.
    fn retire_slot(&self, slot: &Slot) {
        if let Some(process) = slot.take_running() {
            self.drain_in_background(&process);
        }
    }

    /// Takes a process out of use at once and ends it once it has finished.
    fn drain_in_background(&self, process: &Arc<Process>) {
        process.rest();
        let (engine, process) = (self.clone(), Arc::clone(process));
        self.0.workshop.tasks.spawn_draining("worker-drain", async move { engine.drain(process).await });
    }

    async fn drain(&self, process: Arc<Process>) {
        let Settings { drain_timeout, wait_until_limit, .. } = self.0.settings;
        let patience = Patience {
            requests: drain_timeout,
            wait_until: wait_until_limit,
            wait_until_at_shutdown: WAIT_UNTIL_AT_SHUTDOWN,
        };
        process.drain(patience, &self.0.stopping).await;
    }

    async fn try_out(&self, worker: &WorkerVersion) -> Result<Trial, StartError> {
        self.refuse_experimental_flags(worker).await?;
        let caller = Arc::new(worker.caller());
        let storage = if worker.objects.is_some() { Storage::Memory } else { Storage::None };
        let config = config::encode(worker, &caller.calls_key, &Ways::default(), storage)?;
        let plan = Plan { caller, config, ways: Ways::default(), claim: None };
        if worker.objects.is_some() {
            // Another version's process may have the objects, so this one is not for its first request.
            let (startup, missing_classes) = self.0.workshop.try_out(plan, self.purpose()).await?;
            return Ok(Trial { startup_ms: millis(startup), missing_classes });
        }
        let engine = self.clone();
        let slot = self.slot(worker.id);
        let start = slot.with_state(|state| {
            let start = self.begin(&slot, async move { engine.start(plan).await }.boxed());
            *state = State::Starting(start.clone());
            start
        });
        let outcome = start.await;
        if outcome.is_err() {
            self.slots().remove(&worker.id);
        }
        Ok(Trial { startup_ms: millis(outcome?.startup), missing_classes: Vec::new() })
    }

    async fn refuse_experimental_flags(&self, worker: &WorkerVersion) -> Result<(), StartError> {
        let compatibility = &worker.compatibility;
        if compatibility.flags.is_empty() {
            return Ok(());
        }
        let answer = match self.0.flag_answers.get(compatibility) {
            Some(answer) => answer,
            None => {
                let caller = Caller { bindings: HashMap::new(), ..worker.caller() };
                let config = config::encode_probe(compatibility, worker.script.as_str());
                let plan = Plan { caller: Arc::new(caller), config, ways: Ways::default(), claim: None };
                let outcome = self.0.workshop.start(plan, Purpose::FlagProbe).await;
                let answer = match outcome {
                    Ok(process) => {
                        process.kill();
                        process.wait_for_end().await;
                        None
                    }
                    Err(StartFailure::Refused(messages)) if !messages.is_empty() => {
                        Some(messages.join("\n").replace(ADVICE_FOR_OPERATORS, ""))
                    }
                    Err(other) => return Err(other.into()),
                };
                self.0.flag_answers.put(compatibility.clone(), answer.clone());
                answer
            }
        };
        answer.map_or(Ok(()), |message| Err(StartError::Rejected(message)))
    }

    fn slot(&self, version: VersionId) -> Arc<Slot> {
        Arc::clone(self.slots().entry(version).or_insert_with(|| Arc::new(Slot::new(version))))
    }

    /// Whether the version has not been retired since.
    fn is_current(&self, slot: &Arc<Slot>) -> bool {
        self.slots().get(&slot.version).is_some_and(|current| Arc::ptr_eq(current, slot))
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<VersionId, Arc<Slot>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wiring(&self) -> &Wiring {
        self.0.wiring.get().expect("the server connects the engine before it opens its doors")
    }
}

/// The further ways into a process of this version. Whoever reaches its objects from outside finds the gate open: it costs
/// 2 MB, and its opening later would stop them all.
fn ways(worker: &WorkerVersion, entrypoints: Vec<Entrypoint>) -> Ways {
    let owned = worker.objects.iter().filter(|objects| objects.role == ObjectsRole::Owner);
    let classes = owned.flat_map(|objects| &objects.classes);
    Ways { entrypoints, namespaces: classes.map(|class| class.namespace.clone()).collect() }
}

/// Whether the version's process has nothing to do but an alarm, or its repetition, that is due soon: it would hardly have
/// ended before it was to start again.
async fn has_alarm_soon(slot: &Arc<Slot>, idle_timeout: Duration, now_ms: u64) -> bool {
    let Some(process) = slot.running().filter(|process| process.is_idle(idle_timeout)) else { return false };
    let stay = process.stay().clone();
    let Some(stay) = stay else { return false };
    let next_ms = tokio::task::spawn_blocking(move || stay.next_alarm_ms()).await.unwrap_or_default();
    next_ms.is_some_and(|next_ms| next_ms <= now_ms.saturating_add(millis(ALARM_SOON)))
}

/// What a look at a version's slot gave.
enum Look {
    Ready(Lease),
    Wait(Start),
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Runtime for Engine {
    fn trial<'a>(&'a self, version: &'a WorkerVersion) -> BoxFuture<'a, Result<Trial, TrialError>> {
        async move { self.try_out(version).await.map_err(TrialError::from) }.boxed()
    }

    fn retire(&self, versions: Vec<VersionId>) {
        for version in versions {
            let slot = self.slots().remove(&version);
            if let Some(slot) = slot {
                self.retire_slot(&slot);
            }
        }
    }
}
