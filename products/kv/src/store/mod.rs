//! Where keys and values lie: the shards' SQLite files for everything up to a mebibyte, blob files beyond. The only part
//! of the room that knows tables and files; it decides nothing about names, limits or protocols.

mod blobs;
mod checksum;
mod memory;
mod namespaces;
mod rows;
mod sweep;

use std::{path::Path, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use store::{Database, Migration, Options, StoreError, rusqlite::Connection};
use tasks::{Clock, Tasks};

use blobs::Blobs;
pub(crate) use blobs::{NewValue, OpenBlob};
use memory::Memory;
pub(crate) use memory::Taken;
pub(crate) use namespaces::Order;
use rows::Changed;

use crate::{
    KvError,
    model::{Attributes, BULK_GET_BYTES_MAX, Key, ListQuery, Page, VALUE_BYTES_MAX},
};

/// Files that share the namespaces between them. Never changed: a namespace's shard follows from its id.
const SHARDS: usize = 4;

/// Memory of bulk reads, from the read until the answer was sent; further ones wait.
const BULK_READS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Copies of its values that a bulk read makes: as read, as JSON, in the answer.
const BULK_READ_COPIES: usize = 3;

const REGISTRY_MIGRATIONS: &[Migration] = &[Migration {
    name: "2026-11-21-registry",
    sql: include_str!("../../migrations/2026-11-21-registry.sql"),
}];

const SHARD_MIGRATIONS: &[Migration] = &[
    Migration { name: "2026-11-21-init", sql: include_str!("../../migrations/2026-11-21-init.sql") },
    Migration {
        name: "2026-11-26-checksums",
        sql: include_str!("../../migrations/2026-11-26-checksums.sql"),
    },
    Migration { name: "2026-11-26-usage", sql: include_str!("../../migrations/2026-11-26-usage.sql") },
];

/// All of KV's data.
#[derive(Debug)]
pub(crate) struct Store {
    registry: Database,
    shards: Vec<Database>,
    blobs: Blobs,
    bulk_reads: Memory,
    clock: Clock,
    tasks: Tasks,
}

/// A key's value with what it carries.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    pub(crate) metadata: Option<String>,
    pub(crate) expires_s: Option<u64>,
}

/// A value ready to be read.
#[derive(Debug)]
pub(crate) enum Value {
    /// In memory.
    Inline(Vec<u8>),
    /// An open file; replacing or deleting the key does not disturb its reader.
    Blob(OpenBlob),
}

impl Value {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.bytes(),
        }
    }

    /// A body that yields the value; a large one is read from its file as the body is.
    pub(crate) fn into_body(self) -> Body {
        match self {
            Self::Inline(bytes) => Body::from(bytes),
            Self::Blob(blob) => Body::from_stream(blob.into_stream()),
        }
    }
}

/// One key to write.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) key: Key<'static>,
    pub(crate) value: NewValue,
    pub(crate) attributes: Attributes,
}

impl Store {
    /// Closes all files.
    pub(crate) async fn close(&self) {
        self.registry.close().await;
        for shard in &self.shards {
            shard.close().await;
        }
    }

    /// Opens the files in `folder` and mends what an interruption left behind.
    pub(crate) async fn open(folder: &Path, clock: Clock, tasks: Tasks) -> Result<Self, StoreError> {
        let registry = folder.join("namespaces.sqlite");
        let registry = Database::open(&registry, REGISTRY_MIGRATIONS, Options::default())?;
        let open_shard = |shard| {
            let file = folder.join(format!("shard-{shard:02}.sqlite"));
            Database::open(&file, SHARD_MIGRATIONS, Options::default())
        };
        let shards = (0..SHARDS).map(open_shard).collect::<Result<_, _>>()?;
        let (blobs, bulk_reads) = (Blobs::open(&folder.join("blobs"))?, Memory::new(BULK_READS_BYTES_MAX));
        let store = Self { registry, shards, blobs, bulk_reads, clock, tasks };
        store.reconcile_namespaces().await?;
        store.collect_orphans().await?;
        Ok(store)
    }

    /// The time by which keys expire.
    pub(crate) fn now_s(&self) -> u64 {
        self.clock.unix_secs()
    }

    /// Finds a key that has not expired.
    pub(crate) fn get(&self, namespace: &str, key: &Key<'_>) -> Result<Option<Entry<Value>>, KvError> {
        let now_s = self.now_s();
        self.shard(namespace)
            .read_now(|connection| rows::find(connection, &self.blobs, namespace, key, now_s))
    }

    /// Waits for the memory of a bulk read of so many keys. To be given back in part once the answer's size is known.
    pub(crate) async fn bulk_read_memory(&self, keys: usize) -> Taken {
        let bytes = (keys as u64 * VALUE_BYTES_MAX).min(BULK_GET_BYTES_MAX);
        self.bulk_reads.take(usize::try_from(bytes).unwrap_or(BULK_READS_BYTES_MAX) * BULK_READ_COPIES).await
    }

    /// Finds several keys, with their values in memory; together they are bounded.
    pub(crate) async fn get_many(
        &self,
        namespace: &str,
        keys: Vec<Key<'static>>,
    ) -> Result<Vec<Option<Entry<Bytes>>>, KvError> {
        let (now_s, blobs, id) = (self.now_s(), self.blobs.clone(), namespace.to_owned());
        let find_all = move |connection: &Connection| {
            let mut bytes_left = BULK_GET_BYTES_MAX;
            let find = |key: &Key<'_>| {
                let Some(entry) = rows::find(connection, &blobs, &id, key, now_s)? else { return Ok(None) };
                bytes_left = bytes_left.checked_sub(entry.value.bytes()).ok_or(KvError::BulkTooLarge)?;
                let value = match entry.value {
                    Value::Inline(bytes) => bytes.into(),
                    Value::Blob(blob) => {
                        blob.read_whole().map_err(|cause| KvError::damaged(key.as_str(), cause))?
                    }
                };
                Ok(Some(Entry { value, metadata: entry.metadata, expires_s: entry.expires_s }))
            };
            keys.iter().map(find).collect()
        };
        self.shard(namespace).read(find_all).await
    }

    /// Lists keys in the order of their bytes.
    pub(crate) async fn list(&self, namespace: &str, query: ListQuery) -> Result<Page, KvError> {
        let (now_s, id) = (self.now_s(), namespace.to_owned());
        self.shard(namespace).read(move |connection| rows::list(connection, &id, &query, now_s)).await
    }

    /// Takes in a value's body; a large one goes to a file as it arrives. `length` is what the caller announced.
    pub(crate) async fn receive(&self, body: Body, length: Option<u64>) -> Result<NewValue, KvError> {
        self.blobs.receive(body, length).await
    }

    /// Takes in a value that is in memory already.
    pub(crate) async fn receive_whole(&self, bytes: Bytes) -> Result<NewValue, KvError> {
        self.blobs.receive_whole(bytes).await
    }

    /// Writes keys: all of them or none.
    pub(crate) async fn put(&self, namespace: &str, entries: Vec<NewEntry>) -> Result<(), KvError> {
        let id: Arc<str> = namespace.into();
        let write = move |connection: &Connection| {
            let number = rows::number(connection, &id)?;
            let mut changed = Changed::default();
            for entry in entries {
                rows::put(connection, number, entry, &mut changed)?;
            }
            changed.keep(connection, number)?;
            Ok::<_, KvError>(changed.blobs)
        };
        self.drop_after(self.shard(namespace).write(write)).await
    }

    /// Deletes keys; those that do not exist are no matter.
    pub(crate) async fn delete(&self, namespace: &str, keys: Vec<Key<'static>>) -> Result<(), KvError> {
        let id: Arc<str> = namespace.into();
        let write = move |connection: &Connection| {
            let number = rows::number(connection, &id)?;
            let mut changed = Changed::default();
            for key in keys {
                rows::delete(connection, number, &key, &mut changed)?;
            }
            changed.keep(connection, number)?;
            Ok::<_, KvError>(changed.blobs)
        };
        self.drop_after(self.shard(namespace).write(write)).await
    }

    /// What each namespace holds now: id, keys and bytes of values.
    pub(crate) fn usage(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read_now(rows::usage)?);
        }
        Ok(all)
    }

    /// Removes the blob files that a commit made superfluous. If the caller goes away in between, they stay until they
    /// are collected as orphans.
    async fn drop_after(
        &self,
        write: impl Future<Output = Result<Vec<String>, KvError>>,
    ) -> Result<(), KvError> {
        let names = write.await?;
        if !names.is_empty() {
            self.blobs.remove(names).await;
        }
        Ok(())
    }

    fn shard(&self, namespace: &str) -> &Database {
        // Ids are random: their first hex digit spreads them evenly.
        let digit = namespace.chars().next().and_then(|first| first.to_digit(16)).unwrap_or(0);
        &self.shards[digit as usize % SHARDS]
    }
}
