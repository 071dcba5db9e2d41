//! Removing files that no row names: those of replaced and deleted objects at once, those that an interruption left
//! behind after the next start. Rows decide: a file is removed only after its row was looked for and not found.

use std::{fs, io};

use store::{
    StoreError,
    rusqlite::{Connection, params},
};

use super::{Shard, Store, files::BlobId, rows};
use crate::R2Error;

/// Finished uploads are remembered so long, for callers who ask late: a day.
const FINISHED_UPLOAD_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Uploads forgotten in one commit: few, so that writers behind it wait for milliseconds.
const FORGET_MAX: usize = 500;

impl Store {
    /// Removes what nobody needs. May run at any time.
    pub(crate) async fn sweep(&self) -> Result<(), R2Error> {
        let before_ms = self.now_ms().saturating_sub(FINISHED_UPLOAD_KEPT_MS);
        for shard in self.shards() {
            shard.reap().await?;
            shard.forget_uploads(before_ms).await?;
        }
        Ok(())
    }

    /// Removes the files of earlier epochs that no row names; returns how many. Once after the start is enough.
    pub(crate) async fn collect_orphans(&self) -> Result<usize, R2Error> {
        let mut removed = 0;
        for shard in self.shards() {
            removed += shard.collect_orphans().await?;
        }
        Ok(removed)
    }
}

impl Shard {
    /// Removes the files of rows that are gone. A file that is still read waits for a later call.
    pub(super) async fn reap(&self) -> Result<(), R2Error> {
        let doomed = self.files.take_doomed();
        if doomed.is_empty() {
            return Ok(());
        }
        let files = self.files.clone();
        let reap = move |connection: &Connection| {
            let mut waiting = Vec::new();
            for doomed in doomed {
                if files.is_pinned(doomed.upload) {
                    waiting.push(doomed);
                } else if !rows::blob_exists(connection, doomed.blob)? {
                    files.remove(doomed.blob);
                }
            }
            files.doom(waiting);
            Ok(())
        };
        self.database.read(reap).await
    }

    async fn forget_uploads(&self, before_ms: u64) -> Result<(), R2Error> {
        loop {
            let forget = move |connection: &Connection| -> Result<usize, R2Error> {
                let sql = "DELETE FROM upload WHERE number IN
                               (SELECT number FROM upload WHERE finished_ms < ?1 LIMIT ?2)";
                Ok(connection.prepare_cached(sql)?.execute(params![before_ms, FORGET_MAX])?)
            };
            if self.database.write(forget).await? < FORGET_MAX {
                return Ok(());
            }
        }
    }

    async fn collect_orphans(&self) -> Result<usize, R2Error> {
        let shard = self.clone();
        let collect = move |connection: &Connection| {
            let mut removed = 0;
            for folder in entries(shard.files.folder())? {
                for file in entries(&folder)? {
                    let name = file.file_name().and_then(|name| name.to_str());
                    let id = name.and_then(|name| BlobId::from_str_radix(name, 16).ok());
                    // What is of the present epoch has an owner in this process.
                    let Some(id) = id.filter(|id| *id < shard.files.epoch_begin()) else { continue };
                    if !rows::blob_exists(connection, id)? {
                        shard.files.remove(id);
                        removed += 1;
                    }
                }
            }
            Ok(removed)
        };
        self.database.read(collect).await
    }
}

fn entries(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    list().map_err(|error| StoreError::file("list", folder, &error))
}
