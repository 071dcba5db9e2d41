//! The statements on one shard.

use std::io;

use store::{
    StoreError,
    rusqlite::{Connection, OptionalExtension, params},
};

use super::{
    Entry, NewEntry, NewValue, Value,
    blobs::{BlobFile, Blobs},
};
use crate::{
    KvError,
    model::{Key, ListQuery, ListedKey, Page, seal_cursor},
};

/// How often a row is read again because its file was gone: each time, somebody replaced the value in between.
const FIND_ATTEMPTS_MAX: usize = 5;

/// Finds a key that has not expired, with its value in memory or its file open.
pub(super) fn find(
    connection: &Connection,
    blobs: &Blobs,
    namespace: &str,
    key: &Key<'_>,
    now_s: u64,
) -> Result<Option<Entry<Value>>, KvError> {
    let mut attempts_left = FIND_ATTEMPTS_MAX;
    loop {
        let Some(Entry { value, metadata, expires_s }) = select(connection, namespace, key, now_s)? else {
            return Ok(None);
        };
        let value = match value {
            Stored::Inline(bytes) => Value::Inline(bytes),
            Stored::Blob(file) => match blobs.open_file(&file) {
                Ok(open) => Value::Blob(open),
                Err(error) if error.kind() == io::ErrorKind::NotFound && 1 < attempts_left => {
                    attempts_left -= 1;
                    continue;
                }
                Err(error) => return Err(blobs.failed("open", &file, &error).into()),
            },
        };
        return Ok(Some(Entry { value, metadata, expires_s }));
    }
}

enum Stored {
    Inline(Vec<u8>),
    Blob(BlobFile),
}

fn select(
    connection: &Connection,
    namespace: &str,
    key: &Key<'_>,
    now_s: u64,
) -> Result<Option<Entry<Stored>>, KvError> {
    let mut select = connection.prepare_cached(
        "SELECT expires_s, metadata, blob, blob_bytes, blob_sha256, value FROM entry
         WHERE namespace = (SELECT number FROM namespace WHERE id = ?1) AND key = ?2
           AND (expires_s IS NULL OR ?3 < expires_s)",
    )?;
    let entry = select.query_row(params![namespace, key.as_str().as_bytes(), now_s], |row| {
        let value = match row.get(2)? {
            None => Stored::Inline(row.get(5)?),
            Some(name) => Stored::Blob(BlobFile { name, bytes: row.get(3)?, sha256: row.get(4)? }),
        };
        Ok(Entry { expires_s: row.get(0)?, metadata: row.get(1)?, value })
    });
    Ok(entry.optional()?)
}

/// One page of the keys that have not expired.
pub(super) fn list(
    connection: &Connection,
    namespace: &str,
    query: &ListQuery,
    now_s: u64,
) -> Result<Page, KvError> {
    let mut select = connection.prepare_cached(
        "SELECT key, expires_s, metadata FROM entry
         WHERE namespace = (SELECT number FROM namespace WHERE id = ?1) AND ?2 <= key AND key < ?3
           AND (expires_s IS NULL OR ?4 < expires_s)
         ORDER BY key LIMIT ?5",
    )?;
    // One more than asked for tells whether this page is the last.
    let wanted = query.limit() + 1;
    let parameters = params![namespace, query.lower_bound(), query.upper_bound(), now_s, wanted];
    let rows = select.query_map(parameters, |row| {
        let name = String::from_utf8(row.get(0)?).map_err(|error| {
            store::rusqlite::Error::FromSqlConversionFailure(
                0,
                store::rusqlite::types::Type::Blob,
                error.into(),
            )
        })?;
        Ok(ListedKey { name, expires_s: row.get(1)?, metadata: row.get(2)? })
    })?;
    let mut keys = rows.collect::<Result<Vec<_>, _>>()?;
    let is_last = keys.len() < wanted;
    keys.truncate(query.limit());
    let cursor = keys.last().filter(|_| !is_last).map(|last| seal_cursor(namespace, &last.name));
    Ok(Page { keys, cursor })
}

/// The number that a namespace's entries carry.
pub(super) fn number(connection: &Connection, namespace: &str) -> Result<i64, KvError> {
    connection
        .prepare_cached("SELECT number FROM namespace WHERE id = ?1")?
        .query_row([namespace], |row| row.get(0))
        .optional()?
        .ok_or(KvError::NamespaceMissing)
}

/// Writes one key; returns the name of the blob it replaces.
pub(super) fn put(connection: &Connection, number: i64, entry: NewEntry) -> Result<Option<String>, KvError> {
    let key = entry.key.as_str().as_bytes();
    let replaced = connection
        .prepare_cached("SELECT blob FROM entry WHERE namespace = ?1 AND key = ?2 AND blob IS NOT NULL")?
        .query_row(params![number, key], |row| row.get(0))
        .optional()?;
    let (inline, blob) = match &entry.value {
        NewValue::Inline(bytes) => (Some(bytes.as_ref()), None),
        NewValue::Blob(pending) => (None, Some(&pending.file)),
    };
    let metadata = entry.attributes.metadata.as_ref().map(|metadata| metadata.as_str());
    connection
        .prepare_cached(
            "INSERT INTO entry (namespace, key, expires_s, metadata, blob, blob_bytes, blob_sha256, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (namespace, key) DO UPDATE SET
                 expires_s = excluded.expires_s, metadata = excluded.metadata, blob = excluded.blob,
                 blob_bytes = excluded.blob_bytes, blob_sha256 = excluded.blob_sha256, value = excluded.value",
        )?
        .execute(params![
            number,
            key,
            entry.attributes.expires_s,
            metadata,
            blob.map(|blob| &blob.name),
            blob.map(|blob| blob.bytes),
            blob.map(|blob| blob.sha256),
            inline,
        ])?;
    if let NewValue::Blob(pending) = entry.value {
        // From here on the row may be committed whether or not anybody still waits for it.
        pending.keep();
    }
    Ok(replaced)
}

/// Deletes one key; returns the name of its blob.
pub(super) fn delete(connection: &Connection, number: i64, key: &Key<'_>) -> Result<Option<String>, KvError> {
    let blob = connection
        .prepare_cached("DELETE FROM entry WHERE namespace = ?1 AND key = ?2 RETURNING blob")?
        .query_row(params![number, key.as_str().as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(blob.flatten())
}

/// Deletes some keys whose time has come, or whose namespace was deleted; returns how many, and their blobs.
pub(super) fn delete_dead(
    connection: &Connection,
    now_s: u64,
    keys_max: usize,
) -> Result<(usize, Vec<String>), KvError> {
    let mut deleted = connection.prepare_cached(
        "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE expires_s <= ?1 LIMIT ?2)
         RETURNING blob",
    )?;
    let expired = deleted.query_map(params![now_s, keys_max], |row| row.get(0))?;
    let mut blobs = expired.collect::<Result<Vec<Option<String>>, _>>()?;
    let mut dropped = connection.prepare_cached(
        "DELETE FROM entry WHERE rowid IN (
             SELECT entry.rowid FROM namespace JOIN entry ON entry.namespace = namespace.number
             WHERE namespace.id IS NULL LIMIT ?1)
         RETURNING blob",
    )?;
    let homeless = dropped.query_map([keys_max], |row| row.get(0))?;
    blobs.extend(homeless.collect::<Result<Vec<_>, _>>()?);
    if blobs.is_empty() {
        connection.execute("DELETE FROM namespace WHERE id IS NULL", [])?;
    }
    Ok((blobs.len(), blobs.into_iter().flatten().collect()))
}

/// The names of all blobs that rows refer to.
pub(super) fn blob_names(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut select = connection.prepare("SELECT blob FROM entry WHERE blob IS NOT NULL")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
