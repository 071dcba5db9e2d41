//! Winning back space: keys whose time has come, keys of deleted namespaces, files that no row names. Readers never see
//! any of these, swept or not.

use std::collections::HashSet;

use store::StoreError;

use super::{Store, rows};
use crate::KvError;

/// Keys deleted in one commit: few, so that writers behind it wait for milliseconds.
const SWEEP_KEYS_MAX: usize = 500;

impl Store {
    /// Deletes everything that is dead by now; returns the number of keys.
    pub(crate) async fn sweep(&self) -> Result<usize, KvError> {
        let now_s = self.now_s();
        let mut total = 0;
        for shard in &self.shards {
            loop {
                let delete = move |connection: &_| rows::delete_dead(connection, now_s, SWEEP_KEYS_MAX);
                let (count, blobs) = shard.write(delete).await?;
                self.blobs.remove(blobs).await;
                total += count;
                if count == 0 {
                    break;
                }
            }
        }
        Ok(total)
    }

    /// Removes files that no row names: left by a stop between a file and its row. Only before the doors open.
    pub(super) async fn collect_orphans(&self) -> Result<(), StoreError> {
        let mut names = HashSet::new();
        for shard in &self.shards {
            names.extend(shard.read(rows::blob_names).await?);
        }
        let blobs = self.blobs.clone();
        let collect = move || blobs.remove_all_but(&names);
        let removed = tokio::task::spawn_blocking(collect).await.map_err(|_stopping| StoreError::Closed)?;
        match removed {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "Removed files of values that were never acknowledged"),
            Err(error) => tracing::warn!(%error, "Could not remove files that no key refers to"),
        }
        Ok(())
    }
}
