//! What nobody waits for: sweeping dead keys. Idempotent; a missed round changes nothing that a reader can see.

use std::{sync::Arc, time::Duration};

use tasks::Tasks;

use crate::store::Store;

/// Time between two sweeps; dead keys only cost space.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Sweeps now and then until the server stops.
pub(crate) fn start(store: Arc<Store>, tasks: &Tasks) {
    tasks.spawn("kv-sweep", async move {
        let mut is_failing = false;
        loop {
            match store.sweep().await {
                Ok(0) => is_failing = false,
                Ok(keys) => {
                    tracing::debug!(keys, "Swept dead keys");
                    is_failing = false;
                }
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "Dead keys could not be swept; they take space until it works again");
                    is_failing = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    });
}
