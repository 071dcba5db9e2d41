//! The statements on one shard.

use std::{collections::BTreeMap, io, path::PathBuf};

use store::{
    Failure, StoreError,
    rusqlite::{Connection, OptionalExtension, params},
};

use super::{
    Entry, NewEntry, NewValue, Value,
    blobs::{BlobFile, Blobs},
    checksum::Checksum,
};
use crate::{
    KvError,
    model::{Attributes, Key, ListQuery, ListedKey, Page, seal_cursor},
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
            Stored::Blob(file) => match blobs.open_file(&file, key) {
                Ok(open) => Value::Blob(open),
                Err(error) if error.kind() == io::ErrorKind::NotFound && 1 < attempts_left => {
                    attempts_left -= 1;
                    continue;
                }
                Err(error) => {
                    return Err(KvError::damaged(key.as_str(), blobs.failed("open", &file, &error)));
                }
            },
        };
        return Ok(Some(Entry { value, metadata, expires_s }));
    }
}

enum Stored {
    Inline(Vec<u8>),
    Blob(BlobFile),
}

impl Stored {
    /// What the row's checksum covers of the value.
    fn guarded(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Blob(file) => &file.sha256,
        }
    }
}

fn select(
    connection: &Connection,
    namespace: &str,
    key: &Key<'_>,
    now_s: u64,
) -> Result<Option<Entry<Stored>>, KvError> {
    let mut select = connection.prepare_cached(
        "SELECT expires_s, metadata, blob, blob_bytes, blob_sha256, value, checksum FROM entry
         WHERE namespace = (SELECT number FROM namespace WHERE id = ?1) AND key = ?2
           AND (expires_s IS NULL OR ?3 < expires_s)",
    )?;
    let found = select.query_row(params![namespace, key.as_str().as_bytes(), now_s], |row| {
        let value = match row.get(2)? {
            None => Stored::Inline(row.get(5)?),
            Some(name) => Stored::Blob(BlobFile { name, bytes: row.get(3)?, sha256: row.get(4)? }),
        };
        let checksum = row.get::<_, Option<i64>>(6)?.map(Checksum::from_column);
        Ok((Entry { expires_s: row.get(0)?, metadata: row.get(1)?, value }, checksum))
    });
    let found = found.optional().map_err(|error| unreadable(key, error))?;
    let Some((entry, checksum)) = found else { return Ok(None) };
    let is_whole = checksum.is_none_or(|checksum| {
        let Entry { value, metadata, expires_s } = &entry;
        checksum == Checksum::of(key.as_str().as_bytes(), *expires_s, metadata.as_deref(), value.guarded())
    });
    if is_whole { Ok(Some(entry)) } else { Err(checksum_wrong(connection, key.as_str())) }
}

/// Content that no longer fits its column is damage; what else SQLite says is not the key's fault.
fn unreadable(key: &Key<'_>, error: store::rusqlite::Error) -> KvError {
    use store::rusqlite::Error;
    let is_damage = matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
    );
    let error = StoreError::from(error);
    if is_damage || matches!(error, StoreError::Corrupt(_)) {
        KvError::damaged(key.as_str(), error)
    } else {
        error.into()
    }
}

fn checksum_wrong(connection: &Connection, key: &str) -> KvError {
    let file = connection.path().map(PathBuf::from).unwrap_or_default();
    let cause = "the checksum of a row is wrong".to_owned();
    KvError::damaged(key, StoreError::Corrupt(Failure { tried: "read", file, cause }))
}

/// One page of the keys that have not expired.
pub(super) fn list(
    connection: &Connection,
    namespace: &str,
    query: &ListQuery,
    now_s: u64,
) -> Result<Page, KvError> {
    let mut select = connection.prepare_cached(
        "SELECT key, expires_s, metadata, checksum FROM entry
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
        let checksum = row.get::<_, Option<i64>>(3)?.map(Checksum::from_column);
        Ok((ListedKey { name, expires_s: row.get(1)?, metadata: row.get(2)? }, checksum))
    })?;
    let mut keys = Vec::with_capacity(wanted);
    for row in rows {
        let (key, checksum) = row?;
        let ListedKey { name, expires_s, metadata } = &key;
        if checksum.is_some_and(|sum| !sum.fits_head(name.as_bytes(), *expires_s, metadata.as_deref())) {
            return Err(checksum_wrong(connection, name));
        }
        keys.push(key);
    }
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

/// What a job changed in one namespace.
#[derive(Debug, Default)]
pub(super) struct Changed {
    keys: i64,
    bytes: i64,
    /// Files that no row names any more once this is committed.
    pub(super) blobs: Vec<String>,
}

impl Changed {
    fn gone(&mut self, (blob, bytes): (Option<String>, i64)) {
        self.keys -= 1;
        self.bytes -= bytes;
        self.blobs.extend(blob);
    }

    /// Brings the namespace's totals up to date.
    pub(super) fn keep(&self, connection: &Connection, number: i64) -> Result<(), KvError> {
        if self.keys != 0 || self.bytes != 0 {
            connection
                .prepare_cached(
                    "UPDATE namespace SET keys = keys + ?2, bytes = bytes + ?3 WHERE number = ?1",
                )?
                .execute(params![number, self.keys, self.bytes])?;
        }
        Ok(())
    }
}

/// What namespaces hold: id, keys and bytes of values.
pub(super) fn usage(connection: &Connection) -> Result<Vec<(String, u64, u64)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT id, keys, bytes FROM namespace WHERE id IS NOT NULL")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes one key.
pub(super) fn put(
    connection: &Connection,
    number: i64,
    entry: NewEntry,
    changed: &mut Changed,
) -> Result<(), KvError> {
    let key = entry.key.as_str().as_bytes();
    let replaced = connection
        .prepare_cached(
            "SELECT blob, coalesce(blob_bytes, length(value)) FROM entry WHERE namespace = ?1 AND key = ?2",
        )?
        .query_row(params![number, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(replaced) = replaced {
        changed.gone(replaced);
    }
    changed.keys += 1;
    changed.bytes += i64::try_from(entry.value.bytes()).unwrap_or(i64::MAX);
    let (inline, blob) = match &entry.value {
        NewValue::Inline { bytes, .. } => (Some(bytes.as_ref()), None),
        NewValue::Blob(pending) => (None, Some(&pending.file)),
    };
    let Attributes { expires_s, metadata } = &entry.attributes;
    let metadata = metadata.as_ref().map(|metadata| metadata.as_str());
    let guarded = blob.map_or_else(|| inline.unwrap_or_default(), |blob| &blob.sha256);
    let checksum = Checksum::of(key, *expires_s, metadata, guarded);
    connection
        .prepare_cached(
            "INSERT INTO entry
                 (namespace, key, expires_s, metadata, blob, blob_bytes, blob_sha256, value, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (namespace, key) DO UPDATE SET
                 expires_s = excluded.expires_s, metadata = excluded.metadata, checksum = excluded.checksum,
                 blob = excluded.blob, blob_bytes = excluded.blob_bytes, blob_sha256 = excluded.blob_sha256,
                 value = excluded.value",
        )?
        .execute(params![
            number,
            key,
            expires_s,
            metadata,
            blob.map(|blob| &blob.name),
            blob.map(|blob| blob.bytes),
            blob.map(|blob| blob.sha256),
            inline,
            checksum.into_column(),
        ])?;
    if let NewValue::Blob(pending) = entry.value {
        // From here on the row may be committed whether or not anybody still waits for it.
        pending.keep();
    }
    Ok(())
}

/// Deletes one key.
pub(super) fn delete(
    connection: &Connection,
    number: i64,
    key: &Key<'_>,
    changed: &mut Changed,
) -> Result<(), KvError> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM entry WHERE namespace = ?1 AND key = ?2
             RETURNING blob, coalesce(blob_bytes, length(value))",
        )?
        .query_row(params![number, key.as_str().as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(deleted) = deleted {
        changed.gone(deleted);
    }
    Ok(())
}

/// Deletes some keys whose time has come, or whose namespace was deleted; returns how many, and their blobs.
pub(super) fn delete_dead(
    connection: &Connection,
    now_s: u64,
    keys_max: usize,
) -> Result<(usize, Vec<String>), KvError> {
    let mut deleted = connection.prepare_cached(
        "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE expires_s <= ?1 LIMIT ?2)
         RETURNING namespace, blob, coalesce(blob_bytes, length(value))",
    )?;
    let expired = deleted.query_map(params![now_s, keys_max], |row| {
        Ok((row.get::<_, i64>(0)?, (row.get::<_, Option<String>>(1)?, row.get(2)?)))
    })?;
    let (mut blobs, mut changed) = (Vec::new(), BTreeMap::<_, Changed>::new());
    for row in expired {
        let (number, expired) = row?;
        blobs.push(expired.0.clone());
        changed.entry(number).or_default().gone(expired);
    }
    for (number, changed) in changed {
        changed.keep(connection, number)?;
    }
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

/// Whether a row refers to a blob of that name.
pub(super) fn has_blob(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM entry WHERE blob = ?1")?.exists([name])?)
}

/// The names of all blobs that rows refer to.
pub(super) fn blob_names(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut select = connection.prepare("SELECT blob FROM entry WHERE blob IS NOT NULL")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
