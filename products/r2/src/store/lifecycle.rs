//! What becomes of objects and uploads with time, by their buckets' rules: a bounded piece of work per transaction, so that
//! writers wait for none of it.

use model::BucketName;
use store::rusqlite::{Connection, params};

use super::{
    Setting, Shard, Store,
    rows::{self, class_number},
    settings,
};
use crate::{
    R2Error,
    model::{Lifecycle, LifecycleRule, Moment, StorageClass, beyond},
};

/// Objects or uploads of one transaction.
const BATCH: usize = 500;

/// What a rule did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) deleted: usize,
    pub(crate) moved: usize,
    pub(crate) aborted: usize,
}

impl Store {
    /// Applies all rules whose moment has come; tells each that did something.
    pub(crate) async fn apply_lifecycles(
        &self,
        mut tell: impl FnMut(&BucketName, &str, Done),
    ) -> Result<(), R2Error> {
        let now_ms = self.now_ms();
        for shard in self.shards() {
            for (number, name, lifecycle) in shard.lifecycles().await? {
                for rule in lifecycle.enabled() {
                    let done = shard.apply(number, rule, now_ms).await?;
                    if done != Done::default() {
                        tell(&name, &rule.id, done);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Shard {
    /// The rules of each bucket.
    async fn lifecycles(&self) -> Result<Vec<(i64, BucketName, Lifecycle)>, R2Error> {
        let read = |connection: &Connection| -> Result<_, R2Error> {
            let mut select = connection.prepare_cached("SELECT number, name FROM bucket")?;
            let buckets = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            let mut all = Vec::new();
            for bucket in buckets {
                let (number, name) = bucket?;
                let lifecycle = settings::find(connection, number, Setting::Lifecycle)?.unwrap_or_default();
                all.push((number, name.parse().map_err(|_malformed| R2Error::BucketNameInvalid)?, lifecycle));
            }
            Ok(all)
        };
        self.database.read(read).await
    }

    async fn apply(&self, bucket: i64, rule: &LifecycleRule, now_ms: u64) -> Result<Done, R2Error> {
        let mut done = Done::default();
        let cutoff = |moment: &Moment| moment.older_than_ms(now_ms);
        if let Some(before_ms) =
            rule.delete_objects_transition.as_ref().and_then(|one| cutoff(&one.condition))
        {
            done.deleted = self.delete_old(bucket, rule, before_ms).await?;
        }
        for transition in &rule.storage_class_transitions {
            if let Some(before_ms) = cutoff(&transition.condition) {
                done.moved += self.move_old(bucket, rule, before_ms, transition.storage_class).await?;
            }
        }
        let abort = rule.abort_multipart_uploads_transition.as_ref();
        if let Some(before_ms) = abort.and_then(|one| cutoff(&one.condition)) {
            done.aborted = self.abort_old(bucket, rule, before_ms, now_ms).await?;
        }
        Ok(done)
    }

    async fn delete_old(&self, bucket: i64, rule: &LifecycleRule, before_ms: u64) -> Result<usize, R2Error> {
        let mut total = 0;
        loop {
            let (from, to) = bounds(rule);
            let write = move |connection: &Connection| {
                let mut select = connection.prepare_cached(
                    "SELECT key FROM object WHERE bucket = ?1 AND uploaded_ms <= ?2 AND ?3 <= key AND key < ?4 LIMIT ?5",
                )?;
                let keys = select.query_map(params![bucket, before_ms, from, to, BATCH], |row| row.get(0))?;
                let keys = keys.collect::<Result<Vec<Vec<u8>>, _>>()?;
                let mut doomed = Vec::new();
                for key in &keys {
                    doomed.extend(rows::delete(connection, bucket, key)?);
                }
                Ok((keys.len(), doomed))
            };
            let count = self.commit(write, Vec::new()).await?;
            total += count;
            if count < BATCH {
                return Ok(total);
            }
        }
    }

    async fn move_old(
        &self,
        bucket: i64,
        rule: &LifecycleRule,
        before_ms: u64,
        class: StorageClass,
    ) -> Result<usize, R2Error> {
        let mut total = 0;
        loop {
            let (from, to) = bounds(rule);
            let write = move |connection: &Connection| -> Result<usize, R2Error> {
                let mut update = connection.prepare_cached(
                    "UPDATE object SET storage_class = ?5 WHERE bucket = ?1 AND key IN (
                         SELECT key FROM object WHERE bucket = ?1 AND uploaded_ms <= ?2 AND ?3 <= key AND key < ?4
                             AND storage_class <> ?5 LIMIT ?6)",
                )?;
                Ok(update.execute(params![bucket, before_ms, from, to, class_number(class), BATCH])?)
            };
            let count = self.database.write(write).await?;
            total += count;
            if count < BATCH {
                return Ok(total);
            }
        }
    }

    async fn abort_old(
        &self,
        bucket: i64,
        rule: &LifecycleRule,
        before_ms: u64,
        now_ms: u64,
    ) -> Result<usize, R2Error> {
        let mut total = 0;
        loop {
            let (from, to) = bounds(rule);
            let write = move |connection: &Connection| {
                let mut update = connection.prepare_cached(
                    "UPDATE upload SET finished_ms = ?6 WHERE number IN (
                         SELECT number FROM upload WHERE bucket = ?1 AND started_ms <= ?2 AND ?3 <= key AND key < ?4
                             AND finished_ms IS NULL LIMIT ?5)
                     RETURNING number",
                )?;
                let parameters = params![bucket, before_ms, from, to, BATCH, now_ms];
                let ended =
                    update.query_map(parameters, |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
                let mut doomed = Vec::new();
                for upload in &ended {
                    doomed.extend(rows::parts_delete(connection, *upload)?);
                }
                Ok((ended.len(), doomed))
            };
            let count = self.commit(write, Vec::new()).await?;
            total += count;
            if count < BATCH {
                return Ok(total);
            }
        }
    }
}

/// The keys that a rule is about.
fn bounds(rule: &LifecycleRule) -> (Vec<u8>, Vec<u8>) {
    let prefix = &rule.conditions.prefix;
    (prefix.as_bytes().to_vec(), beyond(prefix))
}
