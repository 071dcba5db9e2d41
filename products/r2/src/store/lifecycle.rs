//! What becomes of objects and uploads with time, by their buckets' rules: a bounded piece of work per transaction, so that
//! writers wait for none of it.

use std::sync::Arc;

use model::BucketName;
use store::rusqlite::{Connection, params};

use super::{
    Setting, Shard, Store,
    changes::{Deletion, Objects},
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
                    let done = shard.apply((number, &name), rule, now_ms).await?;
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

    async fn apply(
        &self,
        (bucket, name): (i64, &BucketName),
        rule: &LifecycleRule,
        now_ms: u64,
    ) -> Result<Done, R2Error> {
        let mut done = Done::default();
        let cutoff = |moment: &Moment| moment.older_than_ms(now_ms);
        if let Some(before_ms) =
            rule.delete_objects_transition.as_ref().and_then(|one| cutoff(&one.condition))
        {
            done.deleted = self.delete_old((bucket, name), rule, before_ms, now_ms).await?;
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

    async fn delete_old(
        &self,
        (bucket, name): (i64, &BucketName),
        rule: &LifecycleRule,
        before_ms: u64,
        now_ms: u64,
    ) -> Result<usize, R2Error> {
        let mut total = 0;
        loop {
            let keys = self.old_keys(bucket, rule, before_ms, None).await?;
            let found = keys.len();
            if found == 0 {
                return Ok(total);
            }
            let (name, events) = (name.clone(), Arc::clone(&self.events));
            let write = move |connection: &Connection| {
                let objects = Objects { connection, events: &*events, bucket: (bucket, name.as_str()) };
                let mut is_old = connection.prepare_cached(
                    "SELECT 1 FROM object WHERE bucket = ?1 AND key = ?2 AND uploaded_ms <= ?3",
                )?;
                let (mut count, mut doomed) = (0, Vec::new());
                for key in &keys {
                    if is_old.exists(params![bucket, key.as_bytes(), before_ms])? {
                        doomed.extend(objects.delete(key, now_ms, Deletion::LifecycleDeletion)?);
                        count += 1;
                    }
                }
                Ok((count, doomed))
            };
            total += self.commit(write, Vec::new()).await?;
            if found < BATCH {
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
            let keys = self.old_keys(bucket, rule, before_ms, Some(class)).await?;
            let found = keys.len();
            if found == 0 {
                return Ok(total);
            }
            let write = move |connection: &Connection| -> Result<usize, R2Error> {
                let mut update = connection.prepare_cached(
                    "UPDATE object SET storage_class = ?4 WHERE bucket = ?1 AND key = ?2 AND uploaded_ms <= ?3",
                )?;
                let mut count = 0;
                for key in &keys {
                    count +=
                        update.execute(params![bucket, key.as_bytes(), before_ms, class_number(class)])?;
                }
                Ok(count)
            };
            total += self.database.write(write).await?;
            if found < BATCH {
                return Ok(total);
            }
        }
    }

    /// Some of the objects whose moment has come, but for those that have the class already. Found on a read connection: in
    /// a large bucket this may take a while, and a writer must not wait for it.
    async fn old_keys(
        &self,
        bucket: i64,
        rule: &LifecycleRule,
        before_ms: u64,
        but: Option<StorageClass>,
    ) -> Result<Vec<String>, R2Error> {
        let (from, to) = bounds(rule);
        let read = move |connection: &Connection| -> Result<_, R2Error> {
            let mut select = connection.prepare_cached(
                "SELECT key FROM object WHERE bucket = ?1 AND uploaded_ms <= ?2 AND ?3 <= key AND key < ?4
                     AND storage_class IS NOT ?5 LIMIT ?6",
            )?;
            let parameters = params![bucket, before_ms, from, to, but.map(class_number), BATCH];
            let keys = select.query_map(parameters, |row| rows::text(row, 0))?;
            Ok(keys.collect::<Result<_, _>>()?)
        };
        self.database.read(read).await
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
