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

/// Objects looked at between two reads of the list.
const SCRUB_KEYS_MAX: usize = 100;

/// An object that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) key: String,
    /// What is wrong with it, and with which file.
    pub(crate) cause: String,
}

impl Store {
    /// Checks the objects of a bucket behind the key `after`, some of them: returns the damaged ones, and the key from
    /// which to go on, unless this was the end.
    pub(crate) async fn scrub(
        &self,
        bucket: &BucketName,
        after: Option<String>,
    ) -> Result<(Vec<Damage>, Option<String>), R2Error> {
        let shard = self.shard(bucket)?.clone();
        let name = bucket.as_str().to_owned();
        let select = move |connection: &Connection| -> Result<Vec<String>, R2Error> {
            let (bucket, _) = rows::bucket(connection, &name)?;
            let mut select = connection.prepare_cached(
                "SELECT key FROM object WHERE bucket = ?1 AND ?2 < key ORDER BY key LIMIT ?3",
            )?;
            let after = after.unwrap_or_default();
            let keys = select
                .query_map(params![bucket, after.as_bytes(), SCRUB_KEYS_MAX], |row| rows::text(row, 0))?;
            Ok(keys.collect::<Result<_, _>>()?)
        };
        let keys = shard.database.read(select).await?;
        let next = keys.last().filter(|_| keys.len() == SCRUB_KEYS_MAX).cloned();
        let bucket = bucket.clone();
        let check = move || -> Result<Vec<Damage>, R2Error> {
            let mut damaged = Vec::new();
            for key in keys {
                if let Some(cause) = shard.damage(&bucket, &key)? {
                    damaged.push(Damage { key, cause });
                }
            }
            Ok(damaged)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        Ok((checked.map_err(|_stopping| StoreError::Closed)??, next))
    }
}

impl super::Shard {
    /// What is wrong with an object; `None` if nothing is, or if it was deleted.
    fn damage(&self, bucket: &BucketName, key: &str) -> Result<Option<String>, R2Error> {
        let key = Key::parse(key)?;
        let (object, opened) = match self.open_unchecked(bucket, &key) {
            Ok((object, Some(opened))) => (object, opened),
            Ok((_, None)) | Err(R2Error::KeyMissing) => return Ok(None),
            Err(R2Error::Store(error @ (StoreError::File(_) | StoreError::Corrupt(_)))) => {
                return Ok(Some(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let whole = Span::whole(object.size);
        let of = Of { bucket: bucket.clone(), key };
        // Without the customer's key the stored bytes are checked as they are.
        let body = OpenBody::new(self.files.clone(), of, opened.blobs, whole, None, opened.pin);
        match body.check() {
            Ok(_) => Ok(None),
            Err(error @ (StoreError::File(_) | StoreError::Corrupt(_))) => Ok(Some(error.to_string())),
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
