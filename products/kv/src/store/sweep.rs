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

    /// Removes the files among `suspects` that no row names, and returns those that are to be suspected next time: a file
    /// is named by its row within the writer's queue, so one that is found unnamed twice, far apart, never will be. Left by
    /// a caller that went away between a commit and the removal of what it replaced.
    pub(crate) async fn sweep_orphans(&self, suspects: &HashSet<String>) -> Result<HashSet<String>, KvError> {
        let blobs = self.blobs.clone();
        let listed = tokio::task::spawn_blocking(move || blobs.names()).await;
        let listed = listed.map_err(|_stopping| StoreError::Closed)?;
        let mut unnamed = listed.map_err(|error| self.blobs.unlisted(&error))?;
        for shard in &self.shards {
            let names = std::mem::take(&mut unnamed);
            let keep_unnamed = move |connection: &_| {
                let mut unnamed = HashSet::new();
                for name in names {
                    if !rows::has_blob(connection, &name)? {
                        unnamed.insert(name);
                    }
                }
                Ok::<_, StoreError>(unnamed)
            };
            unnamed = shard.read(keep_unnamed).await?;
        }
        let (orphans, suspects): (HashSet<_>, HashSet<_>) =
            unnamed.into_iter().partition(|name| suspects.contains(name));
        self.blobs.remove(orphans.into_iter().collect()).await;
        Ok(suspects)
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

#[cfg(test)]
mod tests {
    use std::fs::{File, read_dir};

    use bytes::Bytes;
    use tasks::{Clock, Tasks};

    use super::*;
    use crate::{
        model::{Attributes, Key, Title},
        store::NewEntry,
    };

    #[tokio::test]
    async fn a_file_that_is_found_without_a_row_twice_goes_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Tasks::new()).await.unwrap();
        let namespace = store.namespace_create(Title::parse("test".to_owned()).unwrap()).await.unwrap();
        let value = store.receive_whole(Bytes::from(vec![7; 2 * 1024 * 1024])).await.unwrap();
        let entry = NewEntry { key: Key::parse("a").unwrap(), value, attributes: Attributes::default() };
        let blobs = folder.path().join("blobs");
        for name in ["orphan", "arriving.tmp"] {
            File::create(blobs.join(name)).unwrap();
        }
        let files = || read_dir(&blobs).unwrap().count();
        let suspects = store.sweep_orphans(&HashSet::new()).await.unwrap();
        assert_eq!((suspects.len(), files()), (2, 3), "the value's row is still to come");
        store.put(namespace.id.as_str(), vec![entry]).await.unwrap();
        let suspects = store.sweep_orphans(&suspects).await.unwrap();
        assert!(suspects.is_empty());
        assert_eq!(files(), 2, "the value's own file and the one that arrives");
        assert!(!blobs.join("orphan").exists());
    }
}
