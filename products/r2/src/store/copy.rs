//! Copying on the server's side. The new object gets second names of the same immutable files; only what cannot be linked
//! is read and written anew.

use std::sync::Arc;

use model::BucketName;
use store::rusqlite::{Connection, params};

use super::{
    Incoming, NewBody, OpenBody, Store,
    changes::{Creation, Objects},
    files::Doomed,
    objects::{Opened, check, draw_version},
    read::{Blob, Content, Of},
    receive::{NewBlob, NewContent},
    rows::{self, Place},
};
use crate::{
    R2Error,
    model::{Attributes, Conditions, CustomerKey, Key, Object, Span},
};

/// What to copy from.
#[derive(Debug, Clone)]
pub(crate) struct CopyFrom {
    pub(crate) bucket: BucketName,
    pub(crate) key: Key,
    pub(crate) conditions: Conditions,
    pub(crate) customer_key: Option<CustomerKey>,
}

impl CopyFrom {
    /// What is told of a copy of it.
    pub(super) fn action(&self) -> Creation<'_> {
        Creation::CopyObject { source: (self.bucket.as_str(), self.key.as_str()) }
    }
}

/// What to copy to.
#[derive(Debug, Clone)]
pub(crate) struct CopyTo {
    pub(crate) bucket: BucketName,
    pub(crate) key: Key,
    /// `None` keeps those of the source.
    pub(crate) attributes: Option<Attributes>,
    pub(crate) conditions: Conditions,
    pub(crate) customer_key: Option<CustomerKey>,
}

impl Store {
    /// Copies an object.
    pub(crate) async fn copy(&self, from: CopyFrom, to: CopyTo) -> Result<Object, R2Error> {
        let (source, opened) = self.open_source(&from)?;
        let attributes = to.attributes.clone().unwrap_or_else(|| Attributes {
            http: source.http.clone(),
            custom: source.custom.clone(),
            storage_class: Some(source.storage_class),
        });
        let target_key_md5 = to.customer_key.as_ref().map(CustomerKey::md5);
        let is_same_key = source.ssec_key_md5 == target_key_md5;
        let linked = if is_same_key { self.link_all(&from.bucket, &to.bucket, &opened)? } else { None };
        if let Some(blobs) = linked {
            return self.put_linked(from, to, source, attributes, blobs).await;
        }
        let body = self.read_again(&from, &source, opened, &to.bucket, to.customer_key).await?;
        let put = super::Put { key: to.key, attributes, conditions: to.conditions, body };
        self.write(&to.bucket, put, Some(from)).await
    }

    fn open_source(&self, from: &CopyFrom) -> Result<(Object, Opened), R2Error> {
        let shard = self.shard(&from.bucket)?;
        let opened = shard.open(&from.bucket, &from.key, &from.conditions, from.customer_key.as_ref())?;
        let (source, Some(opened)) = opened else { return Err(R2Error::PreconditionFailed) };
        Ok((source, opened))
    }

    async fn read_again(
        &self,
        from: &CopyFrom,
        source: &Object,
        opened: Opened,
        bucket: &BucketName,
        customer_key: Option<CustomerKey>,
    ) -> Result<NewBody, R2Error> {
        let span = Span::whole(source.size);
        let files = self.shard(&from.bucket)?.files.clone();
        let of = Of { bucket: from.bucket.clone(), key: from.key.clone() };
        let body = OpenBody::new(files, of, opened.blobs, span, from.customer_key.clone(), opened.pin);
        let incoming = Incoming { length: Some(span.length()), customer_key, ..Incoming::default() };
        self.receive(bucket, body.into_body().await?, incoming).await
    }

    /// New bodies with the bytes of old ones; `None` if one of them cannot be linked.
    fn link_all(
        &self,
        from: &BucketName,
        to: &BucketName,
        opened: &Opened,
    ) -> Result<Option<Vec<NewBlob>>, R2Error> {
        let (from, to) = (&self.shard(from)?.files, &self.shard(to)?.files);
        let mut linked = Vec::new();
        for Blob { id: old, size, nonce, content } in &opened.blobs {
            let id = to.next_id();
            let content = match content {
                Content::Small { crc, bytes } => NewContent::Small { crc: *crc, bytes: bytes.clone() },
                Content::Open(_) | Content::Pinned => match to.link(from, *old, id)? {
                    Some(unkept) => NewContent::File(unkept),
                    None => return Ok(None),
                },
            };
            linked.push(NewBlob { id, size: *size, nonce: *nonce, content });
        }
        Ok(Some(linked))
    }

    async fn put_linked(
        &self,
        from: CopyFrom,
        to: CopyTo,
        source: Object,
        attributes: Attributes,
        blobs: Vec<NewBlob>,
    ) -> Result<Object, R2Error> {
        let uploaded_ms = self.now_ms();
        let new = blobs.iter().map(|blob| Doomed { blob: blob.id, upload: None }).collect();
        let shard = self.shard(&to.bucket)?;
        let events = Arc::clone(&self.events);
        let write = move |connection: &Connection| {
            let (bucket, bucket_class) = rows::bucket(connection, to.bucket.as_str())?;
            check(connection, bucket, &to.key, &to.conditions)?;
            let object = Object {
                key: to.key.as_str().to_owned(),
                version: draw_version(),
                uploaded_ms,
                storage_class: attributes.storage_class.unwrap_or(bucket_class),
                http: attributes.http,
                custom: attributes.custom,
                ..source
            };
            let place = place_copy(connection, bucket, &object, blobs)?;
            let objects = Objects { connection, events: &*events, bucket: (bucket, to.bucket.as_str()) };
            let replaced = objects.put(&object, place, from.action())?;
            Ok((object, replaced))
        };
        shard.commit(write, new).await
    }
}

/// Writes the rows of a copy's bodies: of one that came in parts, as the parts of an upload that nobody can name.
fn place_copy(
    connection: &Connection,
    bucket: i64,
    object: &Object,
    blobs: Vec<NewBlob>,
) -> Result<Place, R2Error> {
    if object.md5().is_some() {
        let mut id = 0;
        for blob in blobs {
            id = blob.id;
            rows::blob_put(connection, blob)?;
        }
        return Ok(Place::Blob(id));
    }
    connection
        .prepare_cached(
            "INSERT INTO upload (bucket, key, id, started_ms, finished_ms, storage_class)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )?
        .execute(params![
            bucket,
            object.key.as_bytes(),
            object.version,
            object.uploaded_ms,
            rows::class_number(object.storage_class),
        ])?;
    let upload = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached(
        "INSERT INTO part (upload, number, blob, size, md5, uploaded_ms) VALUES (?1, ?2, ?3, ?4, x'', ?5)",
    )?;
    for (number, blob) in (1..).zip(blobs) {
        let number: i64 = number;
        insert.execute(params![upload, number, blob.id, blob.size, object.uploaded_ms])?;
        rows::blob_put(connection, blob)?;
    }
    Ok(Place::Upload(upload))
}
