//! Homes: one folder for each Worker with Durable Objects, `<script tag>/<namespace>/`, run by one process at a time.
//!
//! Within this server a process waits for its turn on a mutex. What holds beyond it is the lock on `<script tag>.lock`: the
//! open file is handed to the process and kept by nobody else, so the lock ends with the process, however that ends. A
//! server that was killed may leave a process that has not died yet; its successor finds the lock taken and waits.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use ::model::{ObjectNamespaceId, Objects, ScriptTag};
use ::store::{StoreError, create_folder};
use product::{Claim, Stay};
use rustix::fs::FlockOperation;
use tasks::{Clock, Tasks};
use tokio::sync::{Notify, OwnedMutexGuard, Semaphore};

use crate::{
    Namespace, Registry,
    error::ObjectsError,
    model::{LOOKS_MAX, STOP_TIMEOUT, TRANSFERS_MAX},
    settle, store, transfer,
};

/// How long to wait for a process that an earlier server left behind: the system ends it with its server.
const STRAY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether it has ended.
const STRAY_INTERVAL: Duration = Duration::from_millis(10);

/// How often a process that is to end is told so, since another may have been started meanwhile.
const STOP_INTERVAL: Duration = Duration::from_secs(1);

/// All homes.
pub(crate) struct Homes {
    folder: PathBuf,
    pub(crate) clock: Clock,
    registry: OnceLock<Arc<dyn Registry>>,
    places: Mutex<HashMap<ScriptTag, Arc<tokio::sync::Mutex<()>>>>,
    agenda: Mutex<Agenda>,
    /// Told when the agenda has changed.
    pub(crate) changed: Notify,
    /// Told when a home was settled.
    arrived: Notify,
    /// Bounds the looks into objects.
    pub(crate) looks: Semaphore,
    /// Bounds backups and restores.
    pub(crate) transfers: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
}

/// What is to be done about homes that no process runs.
#[derive(Debug, Default)]
struct Agenda {
    /// Homes whose process has ended: their alarms are to be read.
    left: BTreeSet<ScriptTag>,
    /// When the earliest alarm is due, in milliseconds since 1970.
    due: HashMap<ScriptTag, u64>,
}

impl Homes {
    pub(crate) fn open(folder: &Path, clock: Clock, tasks: Tasks) -> Result<Self, StoreError> {
        create_folder(folder)?;
        transfer::sweep(folder).map_err(|error| StoreError::file("empty", folder, &error))?;
        Ok(Self {
            folder: folder.to_owned(),
            clock,
            registry: OnceLock::new(),
            places: Mutex::default(),
            agenda: Mutex::default(),
            changed: Notify::new(),
            arrived: Notify::new(),
            looks: Semaphore::new(LOOKS_MAX),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            tasks,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this was the first call.
    pub(crate) fn attach(&self, registry: Arc<dyn Registry>) -> bool {
        self.registry.set(registry).is_ok()
    }

    pub(crate) async fn namespaces(&self) -> Result<Vec<Namespace>, String> {
        self.registry()?.namespaces().await
    }

    pub(crate) fn registry(&self) -> Result<&Arc<dyn Registry>, String> {
        self.registry.get().ok_or_else(|| "the server is still starting".to_owned())
    }

    pub(crate) async fn namespace(&self, id: &str) -> Result<Namespace, ObjectsError> {
        let namespaces = self.namespaces().await.map_err(ObjectsError::Unavailable)?;
        let found = namespaces.into_iter().find(|namespace| namespace.id.as_str() == id);
        found.ok_or_else(|| ObjectsError::NamespaceMissing(id.to_owned()))
    }

    pub(crate) fn home_folder(&self, home: &ScriptTag) -> PathBuf {
        self.folder.join(home.as_str())
    }

    pub(crate) fn namespace_folder(&self, home: &ScriptTag, namespace: &ObjectNamespaceId) -> PathBuf {
        self.home_folder(home).join(namespace.as_str())
    }

    /// When the earliest alarm of a home is due.
    pub(crate) fn next_alarm_ms(&self, home: &ScriptTag) -> Option<u64> {
        let folders = std::fs::read_dir(self.home_folder(home)).ok()?;
        let alarms = folders.flatten().filter_map(|folder| match store::next_alarm_ms(&folder.path()) {
            Ok(alarm) => alarm,
            Err(error) => {
                let folder = folder.path();
                tracing::warn!(folder = %folder.display(), %error, "The alarms of Durable Objects cannot be read");
                None
            }
        });
        alarms.min()
    }

    /// Homes that a process has left since the last call.
    pub(crate) fn take_left(&self) -> BTreeSet<ScriptTag> {
        std::mem::take(&mut self.agenda().left)
    }

    /// Notes that the alarms of a home are to be read.
    pub(crate) fn leave(&self, home: ScriptTag) {
        self.agenda().left.insert(home);
        self.changed.notify_one();
    }

    /// Sets when a home is to be woken.
    pub(crate) fn set_due(&self, home: &ScriptTag, due_ms: Option<u64>) {
        let mut agenda = self.agenda();
        match due_ms {
            Some(due_ms) => agenda.due.insert(home.clone(), due_ms),
            None => agenda.due.remove(home),
        };
    }

    /// The homes that are to be woken, and when the next one is.
    pub(crate) fn take_due(&self, now_ms: u64) -> (Vec<ScriptTag>, Option<u64>) {
        let mut agenda = self.agenda();
        let due: Vec<ScriptTag> =
            agenda.due.extract_if(|_, due_ms| *due_ms <= now_ms).map(|(home, _)| home).collect();
        (due, agenda.due.values().min().copied())
    }

    /// Brings folders to where they belong, and removes what belongs nowhere, in homes that no process runs.
    pub(crate) async fn sweep(self: &Arc<Self>) -> io::Result<()> {
        let known = self.namespaces().await.map_err(io::Error::other)?;
        let root = self.folder.clone();
        let homes = blocking(move || settle::homes_in(&root)).await?;
        for home in homes {
            let is_known = known.iter().any(|namespace| namespace.home == home);
            let (root, all, of) = (self.folder.clone(), known.clone(), home.clone());
            if is_known && blocking(move || settle::is_settled(&root, &of, &all)).await? {
                continue;
            }
            let Some(_place) = self.try_enter(&home) else { continue };
            self.settle_free(&home).await?;
        }
        Ok(())
    }

    /// Settles a home whose place the caller has, unless a process that an earlier server left behind still runs it.
    pub(crate) async fn settle_free(self: &Arc<Self>, home: &ScriptTag) -> io::Result<()> {
        let Some(_lock) = self.try_lock(home)? else { return Ok(()) };
        let known = self.settle(home).await?;
        if known.iter().any(|namespace| namespace.home == *home) {
            return Ok(());
        }
        // Something may come into it just now: then it is not empty, and stays.
        match std::fs::remove_dir(self.home_folder(home)) {
            Ok(()) => tracing::info!(%home, "Removed the Durable Objects of a Worker that has none any more"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(error) => return Err(error),
        }
        std::fs::remove_file(self.lock_path(home))
    }

    /// Settles a home whose place and lock the caller has; returns what the register says.
    async fn settle(self: &Arc<Self>, home: &ScriptTag) -> io::Result<Vec<Namespace>> {
        // Read only now: while somebody else had the home, its namespaces may have been given away.
        let known = self.namespaces().await.map_err(io::Error::other)?;
        let (root, of) = (self.folder.clone(), home.clone());
        let settled = blocking(move || Ok((settle::settle(&root, &of, &known)?, known))).await;
        let (receivers, known) = settled?;
        for receiver in receivers {
            tracing::info!(from = %home, to = %receiver, "Moved a namespace of Durable Objects to another Worker");
            self.leave(receiver);
        }
        self.arrived.notify_waiters();
        Ok(known)
    }

    /// Stops the process that runs a home, so that its files can be replaced.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        home: &ScriptTag,
        namespace: &ObjectNamespaceId,
    ) -> io::Result<Held> {
        let deadline = self.clock.monotonic() + STOP_TIMEOUT;
        let mut entering = Box::pin(self.place(home).lock_owned());
        let place = loop {
            // Whoever asked before us for the place may start another process once.
            self.registry().map_err(io::Error::other)?.stop(home).await.map_err(io::Error::other)?;
            if let Ok(place) = tokio::time::timeout(STOP_INTERVAL, &mut entering).await {
                break place;
            }
            if deadline < self.clock.monotonic() {
                return Err(io::Error::other("the Worker's process did not end in time; try again"));
            }
        };
        let held = self.enter(place, home.clone(), vec![namespace.clone()]).await?;
        held.ok_or_else(|| io::Error::other("the class has passed to another Worker meanwhile; try again"))
    }

    /// Settles a home whose place is free, and brings these namespaces into it. `None`: one of them is not kept there.
    async fn enter(
        self: &Arc<Self>,
        place: OwnedMutexGuard<()>,
        home: ScriptTag,
        namespaces: Vec<ObjectNamespaceId>,
    ) -> io::Result<Option<Held>> {
        // From here on, whatever comes of it, somebody looks at the alarms afterwards.
        let stay = HomeStay { homes: Arc::clone(self), home: home.clone(), _place: place };
        let lock = self.lock(&home).await?;
        let (folder, made) = (self.home_folder(&home), namespaces.clone());
        blocking(move || settle::make_folders(&folder, made.iter())).await?;
        let known = self.settle(&home).await?;
        for namespace in &namespaces {
            if !known.iter().any(|known| known.id == *namespace && known.home == home) {
                return Ok(None);
            }
            self.bring(&home, namespace).await?;
        }
        Ok(Some(Held { lock, stay }))
    }

    /// Waits until no other home has anything of a namespace.
    async fn bring(self: &Arc<Self>, home: &ScriptTag, namespace: &ObjectNamespaceId) -> io::Result<()> {
        loop {
            let arrived = self.arrived.notified();
            let (root, of, id) = (self.folder.clone(), home.clone(), namespace.clone());
            let other = blocking(move || settle::elsewhere(&root, &of, &id)).await?;
            let Some(other) = other else { return Ok(()) };
            tokio::select! {
                _place = self.place(&other).lock_owned() => {
                    let _lock = self.lock(&other).await?;
                    self.settle(&other).await?;
                }
                // Whoever has the other home has settled it.
                () = arrived => {}
            }
        }
    }

    /// The place in a home, unless a process has it.
    pub(crate) fn try_enter(&self, home: &ScriptTag) -> Option<OwnedMutexGuard<()>> {
        self.place(home).try_lock_owned().ok()
    }

    fn place(&self, home: &ScriptTag) -> Arc<tokio::sync::Mutex<()>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(home.clone()).or_default())
    }

    fn lock_path(&self, home: &ScriptTag) -> PathBuf {
        self.folder.join(format!("{home}.lock"))
    }

    /// The lock, unless somebody has it.
    fn try_lock(&self, home: &ScriptTag) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.lock_path(home))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn lock(&self, home: &ScriptTag) -> io::Result<File> {
        let deadline = self.clock.monotonic() + STRAY_TIMEOUT;
        loop {
            if let Some(lock) = self.try_lock(home)? {
                return Ok(lock);
            }
            if deadline < self.clock.monotonic() {
                let message = format!(
                    "another process holds `{}`; end it, or wait until it has ended",
                    self.lock_path(home).display()
                );
                return Err(io::Error::other(message));
            }
            tokio::time::sleep(STRAY_INTERVAL).await;
        }
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until no process has the home, and takes it for one. `None`: these objects are not kept there any more.
pub(crate) async fn claim(homes: Arc<Homes>, objects: Objects) -> io::Result<Option<Claim>> {
    let place = homes.place(&objects.home).lock_owned().await;
    let namespaces = objects.classes.into_iter().map(|class| class.namespace).collect();
    let Some(Held { lock, stay }) = homes.enter(place, objects.home, namespaces).await? else {
        return Ok(None);
    };
    homes.set_due(&stay.home, None);
    let folder = std::path::absolute(homes.home_folder(&stay.home))?;
    Ok(Some(Claim { folder, lock: OwnedFd::from(lock), stay: Box::new(stay) }))
}

/// A home without a process, and with nothing of it elsewhere.
pub(crate) struct Held {
    // In this order: nobody finds the place free and the lock taken.
    lock: File,
    stay: HomeStay,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A process's stay in a home.
struct HomeStay {
    homes: Arc<Homes>,
    home: ScriptTag,
    _place: OwnedMutexGuard<()>,
}

impl Stay for HomeStay {
    fn next_alarm_ms(&self) -> Option<u64> {
        self.homes.next_alarm_ms(&self.home)
    }
}

impl Drop for HomeStay {
    fn drop(&mut self) {
        self.homes.leave(self.home.clone());
    }
}
