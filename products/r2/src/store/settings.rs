//! What bucket owners set: documents by kind, which the model reads and writes.

use model::BucketName;
use serde::{Serialize, de::DeserializeOwned};
use store::rusqlite::{Connection, OptionalExtension, params};

use super::{Store, rows};
use crate::R2Error;

/// A kind of document; a bucket has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Cors,
    Lifecycle,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::Cors => "cors",
            Self::Lifecycle => "lifecycle",
        }
    }
}

impl Store {
    /// Reads a document; `None` if it was never written.
    pub(crate) fn setting<T: DeserializeOwned>(
        &self,
        bucket: &BucketName,
        kind: Setting,
    ) -> Result<Option<T>, R2Error> {
        self.shard(bucket)?.database.read_now(|connection| {
            let (bucket, _) = rows::bucket(connection, bucket.as_str())?;
            find(connection, bucket, kind)
        })
    }

    /// Writes a document.
    pub(crate) async fn setting_put<T: Serialize>(
        &self,
        bucket: &BucketName,
        kind: Setting,
        document: &T,
    ) -> Result<(), R2Error> {
        let document = serde_json::to_string(document).expect("texts and numbers serialise");
        let name = bucket.as_str().to_owned();
        let write = move |connection: &Connection| -> Result<(), R2Error> {
            let (bucket, _) = rows::bucket(connection, &name)?;
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO bucket_setting (bucket, kind, document) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![bucket, kind.name(), document])?;
            Ok(())
        };
        self.shard(bucket)?.database.write(write).await
    }

    /// Forgets a document; one that never was is no matter.
    pub(crate) async fn setting_delete(&self, bucket: &BucketName, kind: Setting) -> Result<(), R2Error> {
        let name = bucket.as_str().to_owned();
        let write = move |connection: &Connection| -> Result<(), R2Error> {
            let (bucket, _) = rows::bucket(connection, &name)?;
            connection
                .prepare_cached("DELETE FROM bucket_setting WHERE bucket = ?1 AND kind = ?2")?
                .execute(params![bucket, kind.name()])?;
            Ok(())
        };
        self.shard(bucket)?.database.write(write).await
    }
}

/// Reads a document of a bucket that was found already.
pub(super) fn find<T: DeserializeOwned>(
    connection: &Connection,
    bucket: i64,
    kind: Setting,
) -> Result<Option<T>, R2Error> {
    let document: Option<String> = connection
        .prepare_cached("SELECT document FROM bucket_setting WHERE bucket = ?1 AND kind = ?2")?
        .query_row(params![bucket, kind.name()], |row| row.get(0))
        .optional()?;
    document
        .map(|document| serde_json::from_str(&document).map_err(|_unreadable| R2Error::RequestInvalid))
        .transpose()
}
