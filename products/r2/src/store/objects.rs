//! Objects: find, read, write, delete.

use std::{fs::File, io, sync::Arc};

use axum::body::Body;
use model::BucketName;
use store::{StoreError, rusqlite::Connection};
use uuid::Uuid;

use super::{
    CopyFrom, Incoming, NewBody, OpenBody, Shard, Store,
    changes::{Creation, Deletion, Objects},
    files::{Doomed, Pin},
    read::{Blob, Content, Of},
    receive,
    rows::{self, Place},
};
use crate::{
    R2Error,
    model::{Attributes, Conditions, CustomerKey, Key, Object, Range, Span},
};

/// How often a row is read again because its file was gone: each time, somebody replaced the object in between.
const FIND_ATTEMPTS_MAX: usize = 5;

/// What a reader asks for.
#[derive(Debug, Default)]
pub(crate) struct Get {
    pub(crate) conditions: Conditions,
    pub(crate) range: Option<Range>,
    pub(crate) customer_key: Option<CustomerKey>,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) object: Object,
    /// The bytes and which they are; `None` if the conditions do not hold.
    pub(crate) body: Option<(OpenBody, Span)>,
}

/// An object to write.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) key: Key,
    pub(crate) attributes: Attributes,
    pub(crate) conditions: Conditions,
    pub(crate) body: NewBody,
}

impl Store {
    /// Finds an object.
    pub(crate) fn head(&self, bucket: &BucketName, key: &Key) -> Result<Object, R2Error> {
        let found = self.shard(bucket)?.database.read_now(|connection| {
            let (bucket, _) = rows::bucket(connection, bucket.as_str())?;
            Ok(rows::find(connection, bucket, key)?.ok_or(R2Error::KeyMissing)?.0)
        });
        found.map_err(|error: R2Error| error.of_object(bucket.as_str(), key.as_str()))
    }

    /// Finds an object and makes its bytes ready.
    pub(crate) fn get(&self, bucket: &BucketName, key: &Key, get: Get) -> Result<Found, R2Error> {
        let shard = self.shard(bucket)?;
        let opened = shard.open(bucket, key, &get.conditions, get.customer_key.as_ref());
        let (object, opened) = opened.map_err(|error| error.of_object(bucket.as_str(), key.as_str()))?;
        let Some(opened) = opened else { return Ok(Found { object, body: None }) };
        let whole = Span::whole(object.size);
        let span = get.range.as_ref().map_or(Ok(whole), |range| range.resolve(object.size))?;
        let Opened { blobs, pin } = opened;
        let of = Of { bucket: bucket.clone(), key: key.clone() };
        let body = OpenBody::new(shard.files.clone(), of, blobs, span, get.customer_key, pin);
        Ok(Found { object, body: Some((body, span)) })
    }

    /// Takes in the body of an object or part, which `bucket` will hold. Nothing is written that anybody sees.
    pub(crate) async fn receive(
        &self,
        bucket: &BucketName,
        body: Body,
        incoming: Incoming,
    ) -> Result<NewBody, R2Error> {
        let shard = self.shard(bucket)?;
        // Rather before the body than after it.
        shard.database.read_now(|connection| rows::bucket(connection, bucket.as_str()))?;
        receive::receive(&shard.files, body, incoming).await
    }

    /// Writes an object whose body was received, if the conditions hold; the last writer wins.
    pub(crate) async fn put(&self, bucket: &BucketName, put: Put) -> Result<Object, R2Error> {
        self.write(bucket, put, None).await
    }

    /// The same; `source` is what the body was copied from.
    pub(super) async fn write(
        &self,
        bucket: &BucketName,
        put: Put,
        source: Option<CopyFrom>,
    ) -> Result<Object, R2Error> {
        let Put { key, attributes, conditions, body } = put;
        let (name, uploaded_ms) = (bucket.as_str().to_owned(), self.now_ms());
        let shard = self.shard(bucket)?;
        let (id, events) = (body.blob.id, Arc::clone(&self.events));
        let write = move |connection: &Connection| {
            let (bucket, bucket_class) = rows::bucket(connection, &name)?;
            check(connection, bucket, &key, &conditions)?;
            let object = Object {
                key: key.as_str().to_owned(),
                version: draw_version(),
                size: body.size(),
                etag: body.etag(),
                uploaded_ms,
                storage_class: attributes.storage_class.unwrap_or(bucket_class),
                ssec_key_md5: body.ssec_key_md5,
                checksums: body.checksums,
                http: attributes.http,
                custom: attributes.custom,
            };
            let place = Place::Blob(body.blob.id);
            rows::blob_put(connection, body.blob)?;
            let action = source.as_ref().map_or(Creation::PutObject, CopyFrom::action);
            let objects = Objects { connection, events: &*events, bucket: (bucket, &name) };
            let replaced = objects.put(&object, place, action)?;
            Ok((object, replaced))
        };
        shard.commit(write, vec![Doomed { blob: id, upload: None }]).await
    }

    /// Deletes objects; those that do not exist are no matter.
    pub(crate) async fn delete(&self, bucket: &BucketName, keys: Vec<Key>) -> Result<(), R2Error> {
        let (name, shard, now_ms) = (bucket.as_str().to_owned(), self.shard(bucket)?, self.now_ms());
        let events = Arc::clone(&self.events);
        let write = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let objects = Objects { connection, events: &*events, bucket: (bucket, &name) };
            let mut deleted = Vec::new();
            for key in keys {
                deleted.extend(objects.delete(key.as_str(), now_ms, Deletion::DeleteObject)?);
            }
            Ok(((), deleted))
        };
        shard.commit(write, Vec::new()).await
    }
}

/// Refuses a write whose conditions do not hold.
pub(super) fn check(
    connection: &Connection,
    bucket: i64,
    key: &Key,
    conditions: &Conditions,
) -> Result<(), R2Error> {
    if conditions.is_empty() {
        return Ok(());
    }
    let present = rows::find(connection, bucket, key)?;
    let holds = conditions.hold(present.as_ref().map(|(object, _)| object));
    if holds { Ok(()) } else { Err(R2Error::PreconditionFailed) }
}

/// Refuses to read with a key that is not the one it was written with.
pub(super) fn check_key(object: &Object, given: Option<&CustomerKey>) -> Result<(), R2Error> {
    match (&object.ssec_key_md5, given) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(R2Error::CustomerKeyUseless),
        (Some(md5), Some(key)) if *md5 == key.md5() => Ok(()),
        (Some(_), _) => Err(R2Error::CustomerKeyWrong),
    }
}

/// 32 hex digits that no other object has.
pub(super) fn draw_version() -> String {
    Uuid::new_v4().simple().to_string()
}

/// An object's bodies, kept for a reader.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) blobs: Vec<Blob>,
    pub(super) pin: Option<Pin>,
}

impl Shard {
    /// Finds an object and, if the conditions hold, sees to it that its bytes stay.
    pub(super) fn open(
        &self,
        bucket: &BucketName,
        key: &Key,
        conditions: &Conditions,
        customer_key: Option<&CustomerKey>,
    ) -> Result<(Object, Option<Opened>), R2Error> {
        self.open_as(bucket, key, conditions, |object| check_key(object, customer_key))
    }

    /// The same, with a check of the caller's.
    pub(super) fn open_as(
        &self,
        bucket: &BucketName,
        key: &Key,
        conditions: &Conditions,
        may_read: impl Fn(&Object) -> Result<(), R2Error>,
    ) -> Result<(Object, Option<Opened>), R2Error> {
        self.database.read_now(|connection| {
            let mut attempts_left = FIND_ATTEMPTS_MAX;
            loop {
                let (object, place, blob) = rows::find_whole(connection, bucket.as_str(), key)?;
                if !conditions.hold(Some(&object)) {
                    return Ok((object, None));
                }
                may_read(&object)?;
                attempts_left -= 1;
                match self.open_place(connection, place, blob) {
                    Ok(Some(opened)) => return Ok((object, Some(opened))),
                    Ok(None) if 0 < attempts_left => {}
                    Ok(None) => {
                        let file = match place {
                            Place::Blob(id) => self.files.path(id),
                            Place::Upload(_) => self.files.folder().to_owned(),
                        };
                        let missing = io::ErrorKind::NotFound.into();
                        return Err(StoreError::file("open", &file, &missing).into());
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// `None` if the object was replaced since its row was read.
    fn open_place(
        &self,
        connection: &Connection,
        place: Place,
        blob: Option<Blob>,
    ) -> Result<Option<Opened>, R2Error> {
        if let Place::Upload(number) = place {
            // Pinned before the rows are read: whoever deletes them later finds the pin.
            let pin = Some(self.files.pin(number));
            let blobs = rows::blobs(connection, number)?;
            return Ok((!blobs.is_empty()).then_some(Opened { blobs, pin }));
        }
        let Some(mut blob) = blob else { return Ok(None) };
        if matches!(blob.content, Content::Pinned) {
            let path = self.files.path(blob.id);
            match File::open(&path) {
                Ok(file) => blob.content = Content::Open(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StoreError::file("open", &path, &error).into()),
            }
        }
        Ok(Some(Opened { blobs: vec![blob], pin: None }))
    }

    /// Writes, then removes the files that the commit made superfluous; of a commit that failed, the new ones. Both happen
    /// even if the caller goes away.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<(T, Vec<Doomed>), R2Error> + Send + 'static,
        new: Vec<Doomed>,
    ) -> Result<T, R2Error> {
        let shard = self.clone();
        let both = async move {
            let written = shard.database.write(write).await;
            let (result, doomed) = match written {
                Ok((value, replaced)) => (Ok(value), replaced),
                Err(error) => (Err(error), new),
            };
            shard.files.doom(doomed);
            if let Err(error) = shard.reap().await {
                tracing::warn!(%error, "Files of replaced objects stay until a later start");
            }
            result
        };
        self.tasks.to_the_end("r2-commit", both).await.unwrap_or(Err(StoreError::Closed.into()))
    }
}
