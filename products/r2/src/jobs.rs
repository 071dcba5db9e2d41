//! What nobody waits for: collecting what an interruption left behind, forgetting finished uploads and the hosts of deleted
//! buckets, and applying the buckets' lifecycle rules. Idempotent; a missed round is made up for by the next.

use std::{sync::Arc, time::Duration};

use tasks::Tasks;

use crate::{
    R2Error,
    domains::DomainsLater,
    store::{Done, Store},
};

/// Time between two rounds. Cloudflare promises lifecycles within a day.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Collects orphans once, then sweeps now and then until the server stops.
pub(crate) fn start(store: Arc<Store>, domains: DomainsLater, tasks: &Tasks) {
    tasks.spawn("r2-sweep", async move {
        match store.collect_orphans().await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "Removed files of objects that were never acknowledged"),
            Err(error) => tracing::warn!(%error, "Could not remove files that no object refers to"),
        }
        let mut is_failing = false;
        loop {
            let swept = round(&store, &domains).await;
            if let (Err(error), false) = (&swept, is_failing) {
                tracing::warn!(%error, "R2 could not be swept; dead files take space until it works again");
            }
            is_failing = swept.is_err();
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    });
}

async fn round(store: &Store, domains: &DomainsLater) -> Result<(), R2Error> {
    store.sweep().await?;
    forget_domains(store, domains).await?;
    store
        .apply_lifecycles(|bucket, rule, Done { deleted, moved, aborted }| {
            tracing::info!(%bucket, rule, deleted, moved, aborted, "Applied a lifecycle rule");
        })
        .await
}

/// Gives back the hosts of buckets that are no more.
async fn forget_domains(store: &Store, domains: &DomainsLater) -> Result<(), R2Error> {
    let Some(domains) = domains.get() else { return Ok(()) };
    let failed = |error: v4::ApiError| {
        tracing::warn!(error = error.message, "The hosts of deleted buckets could not be given back");
    };
    // The owners first: a bucket that is made meanwhile is none of them.
    let Ok(owners) = domains.owners().await.map_err(failed) else { return Ok(()) };
    if owners.is_empty() {
        return Ok(());
    }
    let ids = store.bucket_ids().await?;
    for gone in owners.into_iter().filter(|owner| !ids.contains(owner)) {
        domains.forget(gone).await.unwrap_or_else(failed);
    }
    Ok(())
}
