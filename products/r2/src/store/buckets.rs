//! Buckets. Each lies, whole, in the shard that its name chooses: making and deleting one is one commit.

use model::BucketName;
use store::{
    StoreError,
    rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params},
};
use uuid::Uuid;

use super::{Store, rows};
use crate::{
    R2Error,
    model::{BUCKETS_MAX, Bucket, StorageClass, Usage, bucket_name},
};

pub(super) const COLUMNS: &str = "name, id, created_ms, location, jurisdiction, storage_class";

/// A bucket to make.
#[derive(Debug, Clone)]
pub(crate) struct NewBucket {
    pub(crate) name: BucketName,
    pub(crate) location: Option<String>,
    /// `default` if the caller names none.
    pub(crate) jurisdiction: String,
    pub(crate) storage_class: StorageClass,
}

impl Store {
    /// Makes a bucket.
    pub(crate) async fn bucket_create(&self, new: NewBucket) -> Result<Bucket, R2Error> {
        if BUCKETS_MAX <= self.bucket_count().await? {
            return Err(R2Error::BucketsTooMany);
        }
        let NewBucket { name, location, jurisdiction, storage_class } = new;
        let (id, created_ms) = (Uuid::new_v4().simple().to_string(), self.now_ms());
        let bucket = Bucket { name, id, created_ms, location, jurisdiction, storage_class };
        let row = bucket.clone();
        let insert = move |connection: &Connection| {
            let insert = connection.execute(
                "INSERT INTO bucket (name, id, created_ms, location, jurisdiction, storage_class)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    row.name.as_str(),
                    row.id,
                    row.created_ms,
                    row.location,
                    row.jurisdiction,
                    rows::class_number(row.storage_class),
                ],
            );
            insert.map_err(taken)
        };
        self.shard_for_new(&bucket.name).await?.database.write(insert).await?;
        Ok(bucket)
    }

    /// Finds a bucket.
    pub(crate) fn bucket_get(&self, name: &BucketName) -> Result<Option<Bucket>, R2Error> {
        let Ok(shard) = self.shard(name) else { return Ok(None) };
        shard.database.read_now(|connection| {
            let bucket = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM bucket WHERE name = ?1"))?
                .query_row([name.as_str()], bucket)
                .optional()?;
            Ok(bucket)
        })
    }

    /// The bucket that a caller names.
    pub(crate) fn bucket_find(&self, name: &str) -> Result<Bucket, R2Error> {
        self.bucket_get(&bucket_name(name)?)?.ok_or(R2Error::BucketMissing)
    }

    /// At most `limit` buckets of a jurisdiction (of all, if none is named) whose names contain `part`, in the order of
    /// their names, behind the name `after`.
    pub(crate) async fn bucket_list(
        &self,
        jurisdiction: Option<&str>,
        part: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Bucket>, R2Error> {
        let mut buckets = Vec::new();
        for shard in self.shards() {
            let (part, after, jurisdiction) =
                (part.to_owned(), after.to_owned(), jurisdiction.map(str::to_owned));
            let select = move |connection: &Connection| -> Result<Vec<Bucket>, R2Error> {
                let mut select = connection.prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM bucket
                     WHERE ?1 < name AND instr(name, ?2) AND jurisdiction = ifnull(?4, jurisdiction)
                     ORDER BY name LIMIT ?3"
                ))?;
                Ok(select
                    .query_map(params![after, part, limit, jurisdiction], bucket)?
                    .collect::<Result<_, _>>()?)
            };
            buckets.extend(shard.database.read(select).await?);
        }
        buckets.sort_by(|one, other| one.name.cmp(&other.name));
        buckets.truncate(limit);
        Ok(buckets)
    }

    /// The ids of all buckets.
    pub(crate) async fn bucket_ids(&self) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for shard in self.shards() {
            let select = |connection: &Connection| -> Result<Vec<String>, StoreError> {
                let mut select = connection.prepare_cached("SELECT id FROM bucket")?;
                Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
            };
            ids.extend(shard.database.read(select).await?);
        }
        Ok(ids)
    }

    /// What every bucket holds.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        let mut all = Vec::new();
        for shard in self.shards() {
            all.extend(shard.database.read_now(usage)?);
        }
        Ok(all)
    }

    /// Changes the storage class that new objects take.
    pub(crate) async fn bucket_set_storage_class(
        &self,
        name: &BucketName,
        class: StorageClass,
    ) -> Result<Bucket, R2Error> {
        let text = name.as_str().to_owned();
        let update = move |connection: &Connection| {
            let sql = format!("UPDATE bucket SET storage_class = ?2 WHERE name = ?1 RETURNING {COLUMNS}");
            let updated = connection
                .prepare_cached(&sql)?
                .query_row(params![text, rows::class_number(class)], bucket)
                .optional()?;
            updated.ok_or(R2Error::BucketMissing)
        };
        self.shard(name)?.database.write(update).await
    }

    /// Deletes a bucket that has no objects; returns its id. Uploads that were never completed go with it.
    pub(crate) async fn bucket_delete(&self, name: &BucketName) -> Result<String, R2Error> {
        let text = name.as_str().to_owned();
        let delete = move |connection: &Connection| {
            let (number, _) = rows::bucket(connection, &text)?;
            let mut objects = connection.prepare_cached("SELECT 1 FROM object WHERE bucket = ?1 LIMIT 1")?;
            if objects.exists([number])? {
                return Err(R2Error::BucketNotEmpty);
            }
            let uploads = connection
                .prepare_cached("SELECT number FROM upload WHERE bucket = ?1")?
                .query_map([number], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?;
            let mut doomed = Vec::new();
            for upload in uploads {
                doomed.extend(rows::parts_delete(connection, upload)?);
            }
            connection.execute("DELETE FROM upload WHERE bucket = ?1", [number])?;
            connection.execute("DELETE FROM bucket_setting WHERE bucket = ?1", [number])?;
            let delete = "DELETE FROM bucket WHERE number = ?1 RETURNING id";
            let id = connection.query_row(delete, [number], |row| row.get(0))?;
            Ok((id, doomed))
        };
        self.shard(name)?.commit(delete, Vec::new()).await
    }

    async fn bucket_count(&self) -> Result<usize, R2Error> {
        let mut total = 0;
        for shard in self.shards() {
            let count = |connection: &Connection| -> Result<usize, R2Error> {
                Ok(connection.query_row("SELECT count(*) FROM bucket", [], |row| row.get(0))?)
            };
            total += shard.database.read(count).await?;
        }
        Ok(total)
    }
}

fn usage(connection: &Connection) -> Result<Vec<Usage>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT name, jurisdiction, objects, bytes, metadata_bytes FROM bucket ORDER BY name",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Usage {
            bucket: row.get(0)?,
            jurisdiction: row.get(1)?,
            objects: row.get(2)?,
            bytes: row.get(3)?,
            metadata_bytes: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn bucket(row: &Row<'_>) -> store::rusqlite::Result<Bucket> {
    let name: String = row.get(0)?;
    Ok(Bucket {
        name: name.parse().map_err(|error| {
            let kind = store::rusqlite::types::Type::Text;
            store::rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
        })?,
        id: row.get(1)?,
        created_ms: row.get(2)?,
        location: row.get(3)?,
        jurisdiction: row.get(4)?,
        storage_class: rows::class(row.get(5)?),
    })
}

fn taken(error: store::rusqlite::Error) -> R2Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => R2Error::BucketExists,
        _ => error.into(),
    }
}
