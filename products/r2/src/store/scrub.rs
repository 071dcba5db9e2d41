//! Looking for bit rot: every body is read and checked against its checksums, a bucket at a time.

use model::BucketName;
use store::{
    StoreError,
    rusqlite::{Connection, params},
};

use super::{OpenBody, Store, read::Of, rows};
use crate::{
    R2Error,
    model::{Conditions, Key, Span},
};

/// Objects looked at in one call.
const KEYS_MAX: usize = 100;

/// Bytes read in one call, but for those of the last object.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// An object that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) key: String,
    /// What is wrong with it, and with which file.
    pub(crate) cause: String,
}

/// What one call looked at.
#[derive(Debug, Default)]
pub(crate) struct Scrubbed {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) damaged: Vec<Damage>,
    /// The key from which to go on, unless this was the end.
    pub(crate) next: Option<String>,
}

impl Store {
    /// Checks some of a bucket's objects, those behind the key `after`.
    pub(crate) async fn scrub(
        &self,
        bucket: &BucketName,
        after: Option<String>,
    ) -> Result<Scrubbed, R2Error> {
        let shard = self.shard(bucket)?.clone();
        let name = bucket.as_str().to_owned();
        let select = move |connection: &Connection| -> Result<Vec<String>, R2Error> {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let mut select = connection.prepare_cached(
                "SELECT key FROM object WHERE bucket = ?1 AND ?2 < key ORDER BY key LIMIT ?3",
            )?;
            let after = after.unwrap_or_default();
            let keys =
                select.query_map(params![bucket, after.as_bytes(), KEYS_MAX], |row| rows::text(row, 0))?;
            Ok(keys.collect::<Result<_, _>>()?)
        };
        let keys = shard.database.read(select).await?;
        let bucket = bucket.clone();
        let check = move || shard.scrub(&bucket, keys);
        tokio::task::spawn_blocking(check).await.map_err(|_stopping| StoreError::Closed)?
    }
}

impl super::Shard {
    fn scrub(&self, bucket: &BucketName, keys: Vec<String>) -> Result<Scrubbed, R2Error> {
        let mut scrubbed = Scrubbed::default();
        let is_page_full = keys.len() == KEYS_MAX;
        let last = keys.last().cloned();
        for key in keys {
            let (bytes, cause) = self.damage(bucket, &key)?;
            scrubbed.objects += 1;
            scrubbed.bytes += bytes;
            scrubbed.damaged.extend(cause.map(|cause| Damage { key: key.clone(), cause }));
            if BYTES_MAX <= scrubbed.bytes {
                scrubbed.next = Some(key);
                return Ok(scrubbed);
            }
        }
        scrubbed.next = last.filter(|_| is_page_full);
        Ok(scrubbed)
    }

    /// How many bytes an object has, and what is wrong with it, if anything is and it was not deleted.
    fn damage(&self, bucket: &BucketName, key: &str) -> Result<(u64, Option<String>), R2Error> {
        let key = Key::parse(key)?;
        let (object, opened) = match self.open_unchecked(bucket, &key) {
            Ok((object, Some(opened))) => (object, opened),
            Ok((_, None)) | Err(R2Error::KeyMissing) => return Ok((0, None)),
            Err(R2Error::Store(error @ (StoreError::File(_) | StoreError::Corrupt(_)))) => {
                return Ok((0, Some(error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let whole = Span::whole(object.size);
        let of = Of { bucket: bucket.clone(), key };
        // Without the customer's key the stored bytes are checked as they are.
        let body = OpenBody::new(self.files.clone(), of, opened.blobs, whole, None, opened.pin);
        match body.check() {
            Ok(bytes) => Ok((bytes, None)),
            Err(error @ (StoreError::File(_) | StoreError::Corrupt(_))) => {
                Ok((object.size, Some(error.to_string())))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_unchecked(
        &self,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<(crate::model::Object, Option<super::objects::Opened>), R2Error> {
        self.open_as(bucket, key, &Conditions::default(), |_object| Ok(()))
    }
}
