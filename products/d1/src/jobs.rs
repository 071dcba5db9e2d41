//! What nobody waits for: closing databases that are idle, and removing what deletions left
//! and what was ready to be fetched for too long. Idempotent; a missed round
//! changes nothing that a caller can see.

use std::{sync::Arc, time::Duration};

use tasks::Tasks;

use crate::store::Store;

/// Time between two looks for idle databases.
const INTERVAL: Duration = Duration::from_secs(15);

/// Works now and then until the server stops.
pub(crate) fn start(store: Arc<Store>, tasks: &Tasks) {
    tasks.spawn("d1-idle", async move {
        if let Err(error) = store.remove_orphans().await {
            tracing::warn!(%error, "The files of deleted databases could not be looked for");
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            store.close_idle().await;
            store.transfers.sweep();
        }
    });
}
