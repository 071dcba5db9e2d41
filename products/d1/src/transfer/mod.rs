//! Files that come and go: imports, exports, backups, and states that are being restored. Which are under way is known in memory alone, and their
//! files lie in one folder: whatever lies there when the server starts is left over from one that was cut off.

mod dump;
mod export;
mod import;
mod signed;
mod task;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::DatabaseId;
use store::StoreError;
use tasks::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use dump::DumpOptions;
pub(crate) use export::{backup, find as find_export, open, start as start_export};
pub(crate) use import::{Begun, find as find_import, ingest, init as init_import};
use signed::Upload;
pub(crate) use task::{Status, Task};

use crate::{
    D1Error,
    model::{SIGNED_URL_DURATION_MAX, TRANSFERS_MAX},
};

/// All of them.
#[derive(Debug)]
pub(crate) struct Transfers {
    folder: PathBuf,
    clock: Clock,
    /// Cancelled when the server stops.
    stop: CancellationToken,
    /// One for each file.
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the secret in their URLs.
    uploads: HashMap<Secret, Upload>,
    downloads: HashMap<Secret, Download>,
    /// The newest import and export of each database.
    imports: HashMap<DatabaseId, Task>,
    exports: HashMap<DatabaseId, Task>,
}

/// What makes a URL unguessable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Secret(String);

impl Secret {
    fn draw() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file that can be fetched.
#[derive(Debug)]
struct Download {
    database: DatabaseId,
    file: File,
    name: String,
    expires_ms: u64,
}

/// A file of ours; it is removed with this.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    _place: OwnedSemaphorePermit,
}

impl File {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // One that is not there yet, or that cannot be removed: the next start tries again.
        let _ = fs::remove_file(&self.path);
    }
}

impl Transfers {
    /// Removes what an earlier server left.
    pub(crate) fn open(folder: PathBuf, clock: Clock, stop: CancellationToken) -> Result<Self, StoreError> {
        match fs::remove_dir_all(&folder) {
            Err(error) if folder.exists() => return Err(StoreError::file("remove", &folder, &error)),
            _ => {}
        }
        store::create_folder(&folder)?;
        let places = Arc::new(Semaphore::new(TRANSFERS_MAX));
        Ok(Self { folder, clock, stop, places, state: Mutex::default() })
    }

    /// Stops what a database's imports and exports do, and removes their files.
    pub(crate) fn forget(&self, database: DatabaseId) {
        let mut state = self.state();
        for task in [state.imports.remove(&database), state.exports.remove(&database)].into_iter().flatten() {
            task.cancel();
        }
        state.uploads.retain(|_, upload| upload.database != database);
        state.downloads.retain(|_, download| download.database != database);
    }

    /// Removes what is not valid any more.
    pub(crate) fn sweep(&self) {
        let now_ms = self.clock.unix_ms();
        let mut state = self.state();
        state.uploads.retain(|_, upload| now_ms < upload.expires_ms);
        state.downloads.retain(|_, download| now_ms < download.expires_ms);
        let is_kept = |task: &Task| !task.is_finished() || now_ms < task.expires_ms;
        state.imports.retain(|_, task| is_kept(task));
        state.exports.retain(|_, task| is_kept(task));
    }

    /// A file with a name of its own, not made yet. If there are too many, the export that was made first goes.
    pub(crate) fn new_file(&self) -> Result<File, D1Error> {
        self.sweep();
        let place = Arc::clone(&self.places).try_acquire_owned().or_else(|_full| {
            let mut state = self.state();
            let oldest = state.downloads.iter().min_by_key(|(_, download)| download.expires_ms);
            let oldest = oldest.map(|(secret, _)| secret.clone());
            drop(oldest.and_then(|oldest| state.downloads.remove(&oldest)));
            Arc::clone(&self.places).try_acquire_owned().map_err(|_full| D1Error::TransfersTooMany)
        })?;
        Ok(File { path: self.folder.join(Uuid::new_v4().simple().to_string()), _place: place })
    }

    fn expires_ms(&self) -> u64 {
        self.clock.unix_ms() + u64::try_from(SIGNED_URL_DURATION_MAX.as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in the critical sections can leave the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
