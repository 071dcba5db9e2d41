//! Where buckets and objects lie: the shards' SQLite files for everything that is small, files for bodies. The only part
//! of the room that knows tables and files; it decides nothing about names, limits or protocols.

mod buckets;
mod buffers;
mod changes;
mod copy;
mod files;
mod lifecycle;
mod list;
mod objects;
mod read;
mod reap;
mod receive;
mod rows;
mod scrub;
mod seal;
mod settings;
#[cfg(test)]
mod tests;
mod uploads;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use model::BucketName;
use store::{Database, Migration, Options, StoreError, rusqlite::Connection};
use tasks::{Clock, Tasks};
use tokio::sync::OnceCell;

use crate::R2Error;

pub(crate) use buckets::NewBucket;
pub(crate) use changes::{Events, NoEvents};
pub(crate) use copy::{CopyFrom, CopyTo};
use files::Files;
pub(crate) use lifecycle::Done;
pub(crate) use objects::{Found, Get, Put};
pub(crate) use read::OpenBody;
pub(crate) use receive::{Expected, Incoming, NewBody};
pub(crate) use scrub::Scrubbed;
pub(crate) use settings::Setting;
pub(crate) use uploads::{NewUpload, UploadId, UploadPlace};

/// Files that share the buckets between them. Never changed: a bucket's shard follows from its name.
const SHARDS: usize = 4;

const MIGRATIONS: &[Migration] = &[
    Migration { name: "2026-11-26-init", sql: include_str!("../../migrations/2026-11-26-init.sql") },
    Migration { name: "2026-11-26-settings", sql: include_str!("../../migrations/2026-11-26-settings.sql") },
    Migration { name: "2026-11-27-usage", sql: include_str!("../../migrations/2026-11-27-usage.sql") },
];

/// All of R2's data.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// A shard is made with its first bucket: whoever uses no R2 pays nothing for it.
    shards: [OnceCell<Shard>; SHARDS],
    clock: Clock,
    tasks: Tasks,
    events: Arc<dyn Events>,
}

/// Some of the buckets, whole: a SQLite file and a folder of bodies.
#[derive(Debug, Clone)]
struct Shard {
    database: Database,
    files: Files,
    tasks: Tasks,
    events: Arc<dyn Events>,
}

impl Store {
    /// Opens the files in `folder`. What an interruption left behind is collected later, by [`Store::sweep`].
    pub(crate) async fn open(
        folder: &Path,
        clock: Clock,
        tasks: Tasks,
        events: Arc<dyn Events>,
    ) -> Result<Self, StoreError> {
        let store = Self { folder: folder.to_owned(), shards: Default::default(), clock, tasks, events };
        for number in 0..SHARDS {
            if store.database_file(number).exists() {
                store.open_shard(number).await?;
            }
        }
        Ok(store)
    }

    /// Closes all files.
    pub(crate) async fn close(&self) {
        for shard in self.shards() {
            shard.database.close().await;
        }
    }

    /// The time that objects are given.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// The shard of a bucket that exists: where no shard is, there is no bucket.
    fn shard(&self, bucket: &BucketName) -> Result<&Shard, R2Error> {
        self.shards[shard_number(bucket)].get().ok_or(R2Error::BucketMissing)
    }

    /// The shard for a bucket that is about to be made.
    async fn shard_for_new(&self, bucket: &BucketName) -> Result<&Shard, StoreError> {
        self.open_shard(shard_number(bucket)).await
    }

    /// All shards that there are.
    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter_map(OnceCell::get)
    }

    async fn open_shard(&self, number: usize) -> Result<&Shard, StoreError> {
        let open = async || {
            let database = Database::open(&self.database_file(number), MIGRATIONS, Options::default())?;
            let epoch = database.write(next_epoch).await?;
            let files = Files::open(self.folder.join(format!("shard-{number:02}")), epoch)?;
            Ok(Shard { database, files, tasks: self.tasks.clone(), events: Arc::clone(&self.events) })
        };
        self.shards[number].get_or_try_init(open).await
    }

    fn database_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("shard-{number:02}.sqlite"))
    }
}

fn shard_number(bucket: &BucketName) -> usize {
    crc32fast::hash(bucket.as_str().as_bytes()) as usize % SHARDS
}

fn next_epoch(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("UPDATE shard SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))?)
}
