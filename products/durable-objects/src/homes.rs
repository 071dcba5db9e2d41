//! Homes: one folder for each Worker with Durable Objects, `<script tag>/<namespace>/`, run by one process at a time.
//!
//! Within this server a process waits for its turn on a mutex. What holds beyond it is the lock on `<script tag>.lock`: the
//! open file is handed to the process and kept by nobody else, so the lock ends with the process, however that ends. A
//! server that was killed may leave a process that has not died yet; its successor finds the lock taken and waits.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use ::model::{ObjectNamespaceId, ScriptTag};
use ::store::{StoreError, create_folder, sync_folder};
use product::{Claim, Stay};
use rustix::fs::FlockOperation;
use tasks::Clock;
use tokio::sync::{Notify, OwnedMutexGuard, Semaphore};

use crate::{Namespace, Registry, error::ObjectsError, model::LOOKS_MAX, store};

/// How long to wait for a process that an earlier server left behind: the system ends it with its server.
const STRAY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether it has ended.
const STRAY_INTERVAL: Duration = Duration::from_millis(10);

/// All homes.
pub(crate) struct Homes {
    folder: PathBuf,
    pub(crate) clock: Clock,
    registry: OnceLock<Arc<dyn Registry>>,
    places: Mutex<HashMap<ScriptTag, Arc<tokio::sync::Mutex<()>>>>,
    agenda: Mutex<Agenda>,
    /// Told when the agenda has changed.
    pub(crate) changed: Notify,
    /// Bounds the looks into objects.
    pub(crate) looks: Semaphore,
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
    pub(crate) fn open(folder: &Path, clock: Clock) -> Result<Self, StoreError> {
        create_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            clock,
            registry: OnceLock::new(),
            places: Mutex::default(),
            agenda: Mutex::default(),
            changed: Notify::new(),
            looks: Semaphore::new(LOOKS_MAX),
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

    /// Removes the folders of homes whose Worker is gone, once no process runs them.
    pub(crate) fn sweep(&self, known: &HashSet<ScriptTag>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(home) = entry.file_name().to_str().and_then(|name| name.parse::<ScriptTag>().ok())
            else {
                continue;
            };
            if known.contains(&home) {
                continue;
            }
            let Some(_place) = self.try_enter(&home) else { continue };
            if self.try_lock(&home)?.is_none() {
                continue;
            }
            std::fs::remove_dir_all(entry.path())?;
            std::fs::remove_file(self.lock_path(&home))?;
            tracing::info!(%home, "Removed the Durable Objects of a deleted Worker");
        }
        Ok(())
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

/// Waits until no process has the home, and takes it for one.
pub(crate) async fn claim(homes: Arc<Homes>, home: ScriptTag) -> io::Result<Claim> {
    let place = homes.place(&home).lock_owned().await;
    // From here on, whatever comes of it, somebody looks at the alarms afterwards.
    let stay = HomeStay { homes: Arc::clone(&homes), home: home.clone(), _place: place };
    let lock = homes.lock(&home).await?;
    let known = homes.namespaces().await.map_err(io::Error::other)?;
    let known = known.into_iter().filter(|namespace| namespace.home == home).map(|namespace| namespace.id);
    tidy(&homes.home_folder(&home), &known.collect())?;
    homes.set_due(&home, None);
    let folder = std::path::absolute(homes.home_folder(&home))?;
    Ok(Claim { folder, lock: OwnedFd::from(lock), stay: Box::new(stay) })
}

/// Makes the folder, and removes the namespaces in it whose class was deleted.
fn tidy(folder: &Path, known: &HashSet<ObjectNamespaceId>) -> io::Result<()> {
    if !folder.try_exists()? {
        create_folder(folder).map_err(io::Error::other)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent).map_err(io::Error::other)?;
        }
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let namespace = name.to_str().and_then(|name| name.parse::<ObjectNamespaceId>().ok());
        if namespace.is_some_and(|namespace| !known.contains(&namespace)) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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
