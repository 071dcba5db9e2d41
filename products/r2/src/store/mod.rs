//! Where buckets and objects lie: the shards' SQLite files for everything that is small, files for bodies. The only part
//! of the room that knows tables and files; it decides nothing about names, limits or protocols.

mod buckets;
#[cfg_attr(not(test), expect(dead_code, reason = "for the S3 API, whose door is not open yet"))]
mod copy;
mod files;
mod list;
mod objects;
mod read;
mod reap;
mod receive;
mod rows;
#[cfg_attr(not(test), expect(dead_code, reason = "for an operator, who has no door to it yet"))]
mod scrub;
mod seal;
#[cfg(test)]
mod tests;
mod uploads;

use std::path::Path;

use model::BucketName;
use store::{Database, Migration, Options, StoreError, rusqlite::Connection};
use tasks::{Clock, Tasks};

pub(crate) use buckets::NewBucket;
#[cfg(test)]
pub(crate) use copy::{CopyFrom, CopyTo};
use files::Files;
pub(crate) use objects::{Get, Put};
pub(crate) use read::OpenBody;
pub(crate) use receive::{Expected, Incoming, NewBody};
pub(crate) use uploads::{NewUpload, UploadId};

/// Files that share the buckets between them. Never changed: a bucket's shard follows from its name.
const SHARDS: u32 = 4;

const MIGRATIONS: &[Migration] =
    &[Migration { name: "2026-11-26-init", sql: include_str!("../../migrations/2026-11-26-init.sql") }];

/// All of R2's data.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Vec<Shard>,
    clock: Clock,
}

/// Some of the buckets, whole: a SQLite file and a folder of bodies.
#[derive(Debug, Clone)]
struct Shard {
    database: Database,
    files: Files,
    tasks: Tasks,
}

impl Store {
    /// Opens the files in `folder`. What an interruption left behind is collected later, by [`Store::sweep`].
    pub(crate) async fn open(folder: &Path, clock: Clock, tasks: Tasks) -> Result<Self, StoreError> {
        let mut shards = Vec::new();
        for number in 0..SHARDS {
            let name = format!("shard-{number:02}");
            let file = folder.join(format!("{name}.sqlite"));
            let database = Database::open(&file, MIGRATIONS, Options::default())?;
            let epoch = database.write(next_epoch).await?;
            let files = Files::open(folder.join(name), epoch)?;
            shards.push(Shard { database, files, tasks: tasks.clone() });
        }
        Ok(Self { shards, clock })
    }

    /// Closes all files.
    pub(crate) async fn close(&self) {
        for shard in &self.shards {
            shard.database.close().await;
        }
    }

    /// The time that objects are given.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    fn shard(&self, bucket: &BucketName) -> &Shard {
        &self.shards[(crc32fast::hash(bucket.as_str().as_bytes()) % SHARDS) as usize]
    }
}

fn next_epoch(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("UPDATE shard SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))?)
}
