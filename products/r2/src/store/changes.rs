//! Objects that come and go. The two statements that make and remove one are here alone, and each change is told to
//! [`Events`] in its own commit.

use std::fmt::Debug;

use store::rusqlite::{Connection, OptionalExtension, params};

use super::{
    files::Doomed,
    rows::{self, Place},
};
use crate::{R2Error, model::Object};

/// Who keeps what happens to objects. What it keeps it writes over the change's own connection, so that both are on disk or
/// neither; what it sends, it sends of what it kept.
pub(crate) trait Events: Debug + Send + Sync {
    /// Called once for each change, before its commit. An error undoes the change and goes to its caller.
    fn keep(&self, connection: &Connection, event: &Event<'_>) -> Result<(), R2Error>;
}

/// Keeps nothing.
#[derive(Debug)]
pub(crate) struct NoEvents;

impl Events for NoEvents {
    fn keep(&self, _: &Connection, _: &Event<'_>) -> Result<(), R2Error> {
        Ok(())
    }
}

/// What happened to an object (Cloudflare: R2 event notifications, event types and message format). The account of a message
/// is the server's only one.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by those who keep events, as the tests do"))]
pub(crate) enum Event<'a> {
    /// It was made, or took another's place; it says itself when.
    ObjectCreate { bucket: &'a str, object: &'a Object, action: Creation<'a> },
    /// It was removed, and was there until then.
    ObjectDelete { bucket: &'a str, key: &'a str, time_ms: u64, action: Deletion },
}

/// What makes objects.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "like the event that it is of"))]
pub(crate) enum Creation<'a> {
    PutObject,
    CopyObject { source: (&'a str, &'a str) },
    CompleteMultipartUpload,
}

/// What removes objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deletion {
    DeleteObject,
    LifecycleDeletion,
}

/// The objects of a bucket, for the length of a commit.
pub(super) struct Objects<'a> {
    pub(super) connection: &'a Connection,
    pub(super) events: &'a dyn Events,
    /// The bucket's number and name.
    pub(super) bucket: (i64, &'a str),
}

impl Objects<'_> {
    /// Writes an object and its body's place; whatever was there goes. The returned files are to be doomed.
    pub(super) fn put(
        &self,
        object: &Object,
        place: Place,
        action: Creation<'_>,
    ) -> Result<Vec<Doomed>, R2Error> {
        let replaced = self.remove(&object.key)?.unwrap_or_default();
        self.insert(object, place)?;
        let event = Event::ObjectCreate { bucket: self.bucket.1, object, action };
        self.events.keep(self.connection, &event)?;
        Ok(replaced)
    }

    /// Deletes an object with the rows of its body; one that is not there is no matter. The returned files are to be doomed.
    pub(super) fn delete(&self, key: &str, time_ms: u64, action: Deletion) -> Result<Vec<Doomed>, R2Error> {
        let Some(removed) = self.remove(key)? else { return Ok(Vec::new()) };
        let event = Event::ObjectDelete { bucket: self.bucket.1, key, time_ms, action };
        self.events.keep(self.connection, &event)?;
        Ok(removed)
    }

    /// `None` if it is not there.
    fn remove(&self, key: &str) -> Result<Option<Vec<Doomed>>, R2Error> {
        let place = self
            .connection
            .prepare_cached("DELETE FROM object WHERE bucket = ?1 AND key = ?2 RETURNING blob, upload")?
            .query_row(params![self.bucket.0, key.as_bytes()], |row| rows::place_at(row, 0))
            .optional()?;
        match place {
            None => Ok(None),
            Some(Place::Blob(id)) => {
                Ok(Some(rows::blob_delete(self.connection, id, None)?.into_iter().collect()))
            }
            Some(Place::Upload(number)) => rows::parts_delete(self.connection, number).map(Some),
        }
    }

    fn insert(&self, object: &Object, place: Place) -> Result<(), R2Error> {
        let (blob, upload) = match place {
            Place::Blob(id) => (Some(id), None),
            Place::Upload(number) => (None, Some(number)),
        };
        let mut version = [0; 16];
        hex::decode_to_slice(&object.version, &mut version).expect("versions are drawn by us");
        self.connection
            .prepare_cached(
                "INSERT INTO object (bucket, key, version, size, etag, uploaded_ms, storage_class, ssec_key_md5,
                     checksums, http, custom, blob, upload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                self.bucket.0,
                object.key.as_bytes(),
                version,
                object.size,
                object.etag,
                object.uploaded_ms,
                rows::class_number(object.storage_class),
                object.ssec_key_md5,
                rows::json(&object.checksums),
                rows::json(&object.http),
                rows::json(&object.custom),
                blob,
                upload,
            ])?;
        Ok(())
    }
}
