//! What bucket owners set: documents by kind, which the model reads and writes.

use model::BucketName;
use serde::{Serialize, de::DeserializeOwned};
use store::rusqlite::{Connection, OptionalExtension, params, types::Type};

use super::{Store, buckets, rows};
use crate::{R2Error, model::Bucket};

/// A kind of document; a bucket has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Cors,
    Lifecycle,
    Hosts,
}

impl Setting {
    fn name(self) -> &'static str {
        match self {
            Self::Cors => "cors",
            Self::Lifecycle => "lifecycle",
            Self::Hosts => "hosts",
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

    /// The documents of one kind, with their buckets.
    pub(crate) async fn settings<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: Setting,
    ) -> Result<Vec<(Bucket, T)>, R2Error> {
        let mut all = Vec::new();
        for shard in self.shards() {
            let read = move |connection: &Connection| -> Result<Vec<(Bucket, T)>, R2Error> {
                let columns = buckets::COLUMNS;
                let mut select = connection.prepare_cached(&format!(
                    "SELECT {columns}, document FROM bucket JOIN bucket_setting ON bucket.number = bucket WHERE kind = ?1"
                ))?;
                let mut rows = select.query([kind.name()])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let document: String = row.get("document")?;
                    found.push((buckets::bucket(row)?, parse(&document)?));
                }
                Ok(found)
            };
            all.extend(shard.database.read(read).await?);
        }
        Ok(all)
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
    document.as_deref().map(parse).transpose()
}

fn parse<T: DeserializeOwned>(document: &str) -> Result<T, R2Error> {
    Ok(serde_json::from_str(document).map_err(|error| rows::unreadable(0, Type::Text, error))?)
}
