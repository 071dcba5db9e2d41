//! What nobody waits for: collecting what an interruption left behind, forgetting finished uploads, and applying the buckets'
//! lifecycle rules. Idempotent; a missed round is made up for by the next.

use std::{sync::Arc, time::Duration};

use tasks::Tasks;

use crate::{
    R2Error,
    store::{Done, Store},
};

/// Time between two rounds. Cloudflare promises lifecycles within a day.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Collects orphans once, then sweeps now and then until the server stops.
pub(crate) fn start(store: Arc<Store>, tasks: &Tasks) {
    tasks.spawn("r2-sweep", async move {
        match store.collect_orphans().await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "Removed files of objects that were never acknowledged"),
            Err(error) => tracing::warn!(%error, "Could not remove files that no object refers to"),
        }
        let mut is_failing = false;
        loop {
            let swept = round(&store).await;
            if let (Err(error), false) = (&swept, is_failing) {
                tracing::warn!(%error, "R2 could not be swept; dead files take space until it works again");
            }
            is_failing = swept.is_err();
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    });
}

async fn round(store: &Store) -> Result<(), R2Error> {
    store.sweep().await?;
    store
        .apply_lifecycles(|bucket, rule, Done { deleted, moved, aborted }| {
            tracing::info!(%bucket, rule, deleted, moved, aborted, "Applied a lifecycle rule");
        })
        .await
}
