//! The databases that are open: opened by their first request, closed when idle or when others need the place.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::DatabaseId;
use store::StoreError;
use tasks::Clock;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::{OpenDatabase, database::blocking};
use crate::{D1Error, history::Limits};

/// Databases open at once. One that is busy is not closed for another: then there are more for a while.
const OPEN_MAX: usize = 256;

/// How long a database stays open after its last request.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A place for one database: whoever opens, closes or removes it holds the lock alone; its users share it.
type Place = Arc<RwLock<Option<OpenDatabase>>>;

/// A database in use; it stays open until this is dropped.
pub(crate) type InUse = OwnedRwLockReadGuard<Option<OpenDatabase>, OpenDatabase>;

#[derive(Debug)]
pub(super) struct OpenDatabases {
    folder: PathBuf,
    limits: Limits,
    clock: Clock,
    places: Mutex<HashMap<DatabaseId, Place>>,
}

impl OpenDatabases {
    pub(super) fn new(folder: PathBuf, limits: Limits, clock: Clock) -> Self {
        Self { folder, limits, clock, places: Mutex::default() }
    }

    /// The database, opened if it is not. `exists` is asked before: it fails if there is no such database.
    pub(super) async fn get(
        &self,
        id: DatabaseId,
        exists: impl Fn() -> Result<(), D1Error>,
    ) -> Result<InUse, D1Error> {
        loop {
            let place = Arc::clone(self.places().entry(id).or_default());
            let shared = Arc::clone(&place).read_owned().await;
            match OwnedRwLockReadGuard::try_map(shared, Option::as_ref) {
                Ok(database) => return Ok(database),
                Err(shared) => drop(shared),
            }
            let mut alone = Arc::clone(&place).write_owned().await;
            if alone.is_some() {
                continue;
            }
            let opened = match exists() {
                Ok(()) => self.open(id).await.map_err(D1Error::from),
                Err(error) => Err(error),
            };
            match opened {
                Ok(database) => *alone = Some(database),
                Err(error) => {
                    drop(alone);
                    self.forget(id);
                    return Err(error);
                }
            }
            drop(alone);
            self.make_room(id).await;
        }
    }

    async fn open(&self, id: DatabaseId) -> Result<OpenDatabase, StoreError> {
        let (folder, limits, clock) = (self.folder_of(id), self.limits.clone(), self.clock.clone());
        blocking(move || OpenDatabase::open(&folder, limits, &clock)).await
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.by_age().len()
    }

    /// What the histories of open databases take.
    pub(super) fn history_bytes(&self) -> Vec<(String, u64)> {
        let places = self.places();
        let bytes = |place: &Place| Some(place.try_read().ok()?.as_ref()?.history_bytes());
        places.iter().filter_map(|(id, place)| Some((id.to_string(), bytes(place)?))).collect()
    }

    /// Closes those that nobody has used for a while.
    pub(super) async fn close_idle(&self) {
        let idle_max = u64::try_from(IDLE_MAX.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.unix_ms().saturating_sub(idle_max);
        for (id, used_ms) in self.by_age() {
            if used_ms <= before {
                self.close_if_unused(id).await;
            }
        }
    }

    /// Closes all; requests that still run are waited for.
    pub(super) async fn close_all(&self) {
        let all: Vec<Place> = self.places().drain().map(|(_, place)| place).collect();
        for place in all {
            close(&mut *place.write_owned().await).await;
        }
    }

    /// Closes a database and removes its files. It must not exist any more for those who ask.
    pub(super) async fn remove(&self, id: DatabaseId) {
        let place = Arc::clone(self.places().entry(id).or_default());
        let mut alone = place.write_owned().await;
        close(&mut alone).await;
        let folder = self.folder_of(id);
        let removed = blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if folder.exists() => Err(StoreError::file("remove", &folder, &error)),
            _ => Ok(()),
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "A deleted database's files could not be removed; the next start tries again");
        }
        drop(alone);
        self.forget(id);
    }

    /// Closes the one that was used least lately, if there are too many.
    async fn make_room(&self, but: DatabaseId) {
        let oldest = self.by_age();
        let too_many = oldest.len().saturating_sub(OPEN_MAX);
        for (id, _) in oldest.into_iter().filter(|(id, _)| *id != but).take(too_many) {
            self.close_if_unused(id).await;
        }
    }

    async fn close_if_unused(&self, id: DatabaseId) {
        let Some(place) = self.places().get(&id).map(Arc::clone) else { return };
        if let Ok(mut alone) = place.try_write_owned() {
            close(&mut alone).await;
            drop(alone);
            self.forget(id);
        }
    }

    /// Takes a place away that nobody uses.
    fn forget(&self, id: DatabaseId) {
        let mut places = self.places();
        // One of two holders is the map itself; who takes a place clones it under the same lock.
        let is_unused = places.get(&id).is_some_and(|place| Arc::strong_count(place) == 1);
        if is_unused
            && places.get(&id).is_some_and(|place| place.try_read().is_ok_and(|place| place.is_none()))
        {
            places.remove(&id);
        }
    }

    /// Those that are open and not being opened or closed, the least lately used first.
    fn by_age(&self) -> Vec<(DatabaseId, u64)> {
        let places = self.places();
        let used = |place: &Place| Some(place.try_read().ok()?.as_ref()?.used_ms());
        let mut all: Vec<_> = places.iter().filter_map(|(id, place)| Some((*id, used(place)?))).collect();
        all.sort_by_key(|(_, used_ms)| *used_ms);
        all
    }

    fn folder_of(&self, id: DatabaseId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn places(&self) -> MutexGuard<'_, HashMap<DatabaseId, Place>> {
        // Nothing in the critical sections can leave the map half changed.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn close(place: &mut Option<OpenDatabase>) {
    let Some(database) = place.take() else { return };
    if let Err(error) = blocking(move || database.close()).await {
        tracing::warn!(%error, "A database's log could not be moved into its file; its next use repeats it");
    }
}
