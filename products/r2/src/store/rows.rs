//! The statements on buckets, objects and bodies of one shard.

use std::sync::LazyLock;

use serde::{Serialize, de::DeserializeOwned};
use store::{
    StoreError,
    rusqlite::{
        Connection, OptionalExtension, Row, params,
        types::{Type, ValueRef},
    },
};

use super::{
    files::{BlobId, Doomed},
    read::{Blob, Content},
    receive::{NewBlob, NewContent},
};
use crate::{
    R2Error,
    model::{Key, Object, StorageClass},
};

/// What [`object`] reads, in its order.
pub(super) const OBJECT_COLUMNS: &str = "object.key, object.version, object.size, object.etag, object.uploaded_ms, object.storage_class, object.ssec_key_md5, object.checksums, object.http, object.custom, object.blob, object.upload";

/// What [`blob`] reads, in its order.
const BLOB_COLUMNS: &str = "blob.id, blob.size, blob.nonce, blob.crc, blob.small";

/// Behind those of an object.
const BLOB_COLUMNS_AT: usize = 12;

/// Where an object's bytes are: in one blob, or in the parts of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Blob(BlobId),
    Upload(i64),
}

/// A bucket's number and storage class.
pub(super) fn bucket(connection: &Connection, name: &str) -> Result<(i64, StorageClass), R2Error> {
    connection
        .prepare_cached("SELECT number, storage_class FROM bucket WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, class(row.get(1)?))))
        .optional()?
        .ok_or(R2Error::BucketMissing)
}

/// Finds an object.
pub(super) fn find(
    connection: &Connection,
    bucket: i64,
    key: &Key,
) -> Result<Option<(Object, Place)>, R2Error> {
    let found = connection
        .prepare_cached(&format!("SELECT {OBJECT_COLUMNS} FROM object WHERE bucket = ?1 AND key = ?2"))?
        .query_row(params![bucket, key.as_bytes()], |row| Ok((object(row)?, place(row)?)))
        .optional()?;
    Ok(found)
}

/// Finds an object by the name of its bucket, with its body if that is one blob: in one statement, since each takes and
/// leaves the file's lock. The body is missing if it lies in an upload's parts.
pub(super) fn find_whole(
    connection: &Connection,
    bucket: &str,
    key: &Key,
) -> Result<(Object, Place, Option<Blob>), R2Error> {
    static FIND: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {OBJECT_COLUMNS}, {BLOB_COLUMNS} FROM bucket
             LEFT JOIN object ON object.bucket = bucket.number AND object.key = ?2
             LEFT JOIN blob ON blob.id = object.blob
             WHERE bucket.name = ?1"
        )
    });
    let mut select = connection.prepare_cached(&FIND)?;
    let mut rows = select.query(params![bucket, key.as_bytes()])?;
    let row = rows.next()?.ok_or(R2Error::BucketMissing)?;
    if row.get_ref(0)? == ValueRef::Null {
        return Err(R2Error::KeyMissing);
    }
    let first = BLOB_COLUMNS_AT;
    let body = if row.get_ref(first)? == ValueRef::Null { None } else { Some(blob(row, first)?) };
    Ok((object(row)?, place(row)?, body))
}

/// Deletes all parts of an upload.
pub(super) fn parts_delete(connection: &Connection, upload: i64) -> Result<Vec<Doomed>, R2Error> {
    let blobs = connection
        .prepare_cached("DELETE FROM part WHERE upload = ?1 RETURNING blob")?
        .query_map([upload], |row| row.get(0))?
        .collect::<Result<Vec<BlobId>, _>>()?;
    let mut doomed = Vec::new();
    for blob in blobs {
        doomed.extend(blob_delete(connection, blob, Some(upload))?);
    }
    Ok(doomed)
}

/// Deletes a body's row; returns its file if it has one.
pub(super) fn blob_delete(
    connection: &Connection,
    blob: BlobId,
    upload: Option<i64>,
) -> Result<Option<Doomed>, R2Error> {
    let is_small = connection
        .prepare_cached("DELETE FROM blob WHERE id = ?1 RETURNING crc IS NOT NULL")?
        .query_row([blob], |row| row.get(0))
        .optional()?;
    Ok((is_small == Some(false)).then_some(Doomed { blob, upload }))
}

/// Writes a body's row. From here on the row may be committed whether or not anybody still waits for it.
pub(super) fn blob_put(connection: &Connection, blob: NewBlob) -> Result<(), R2Error> {
    let (crc, bytes) = match &blob.content {
        NewContent::Small { crc, bytes } => (Some(*crc), Some(bytes)),
        NewContent::File(_) => (None, None),
    };
    connection
        .prepare_cached("INSERT INTO blob (id, size, nonce, crc, small) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![blob.id, blob.size, blob.nonce, crc, bytes])?;
    if let NewContent::File(unkept) = blob.content {
        unkept.keep();
    }
    Ok(())
}

/// Whether a body's row is there.
pub(super) fn blob_exists(connection: &Connection, blob: BlobId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM blob WHERE id = ?1")?.exists([blob])?)
}

/// The bodies of a completed upload's parts, in order; files are yet to be opened.
pub(super) fn blobs(connection: &Connection, upload: i64) -> Result<Vec<Blob>, R2Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {BLOB_COLUMNS} FROM part JOIN blob ON blob.id = part.blob WHERE part.upload = ?1 ORDER BY part.number"
    ))?;
    let blobs = select.query_map([upload], |row| blob(row, 0))?;
    Ok(blobs.collect::<Result<_, _>>()?)
}

/// Reads the columns of [`BLOB_COLUMNS`], which begin at the column `first`.
fn blob(row: &Row<'_>, first: usize) -> store::rusqlite::Result<Blob> {
    let content = match row.get(first + 3)? {
        Some(crc) => Content::Small { crc, bytes: row.get(first + 4)? },
        None => Content::Pinned,
    };
    Ok(Blob { id: row.get(first)?, size: row.get(first + 1)?, nonce: row.get(first + 2)?, content })
}

/// Reads the columns of [`OBJECT_COLUMNS`].
pub(super) fn object(row: &Row<'_>) -> store::rusqlite::Result<Object> {
    let version: [u8; 16] = row.get(1)?;
    Ok(Object {
        key: text(row, 0)?,
        version: hex::encode(version),
        size: row.get(2)?,
        etag: row.get(3)?,
        uploaded_ms: row.get(4)?,
        storage_class: class(row.get(5)?),
        ssec_key_md5: row.get(6)?,
        checksums: from_json(row, 7)?,
        http: from_json(row, 8)?,
        custom: from_json(row, 9)?,
    })
}

fn place(row: &Row<'_>) -> store::rusqlite::Result<Place> {
    place_at(row, 10)
}

/// Reads `blob` and `upload`, which begin at the column `at`.
pub(super) fn place_at(row: &Row<'_>, at: usize) -> store::rusqlite::Result<Place> {
    match row.get(at)? {
        Some(blob) => Ok(Place::Blob(blob)),
        None => row.get(at + 1).map(Place::Upload),
    }
}

/// A key: UTF-8 kept as bytes.
pub(super) fn text(row: &Row<'_>, at: usize) -> store::rusqlite::Result<String> {
    String::from_utf8(row.get(at)?).map_err(|error| unreadable(at, Type::Blob, error))
}

/// JSON, or nothing if there is nothing in it.
pub(super) fn json<T: Serialize + Default + PartialEq>(value: &T) -> Option<String> {
    let text = || serde_json::to_string(value).expect("texts and numbers serialise");
    (*value != T::default()).then(text)
}

/// Reads back what [`json`] wrote.
pub(super) fn from_json<T: DeserializeOwned + Default>(
    row: &Row<'_>,
    at: usize,
) -> store::rusqlite::Result<T> {
    let text: Option<String> = row.get(at)?;
    let Some(text) = text else { return Ok(T::default()) };
    serde_json::from_str(&text).map_err(|error| unreadable(at, Type::Text, error))
}

/// What a column holds is not what was written to it.
pub(super) fn unreadable(
    at: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> store::rusqlite::Error {
    store::rusqlite::Error::FromSqlConversionFailure(at, kind, error.into())
}

/// A storage class as its column holds it.
pub(super) fn class_number(class: StorageClass) -> i64 {
    match class {
        StorageClass::Standard => 0,
        StorageClass::InfrequentAccess => 1,
    }
}

/// Reads back what [`class_number`] wrote.
pub(super) fn class(number: i64) -> StorageClass {
    if number == 1 { StorageClass::InfrequentAccess } else { StorageClass::Standard }
}
