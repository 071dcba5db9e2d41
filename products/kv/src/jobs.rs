//! What nobody waits for: sweeping dead keys and orphaned files. Idempotent; a missed round changes nothing that a reader can
//! see.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tasks::Tasks;

use crate::{KvError, store::Store};

/// Time between two sweeps; dead keys only cost space.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// One sweep in so many also looks for orphaned files: the whole folder is listed for it.
const ORPHANS_EVERY: u32 = 60;

/// Sweeps now and then until the server stops.
pub(crate) fn start(store: Arc<Store>, tasks: &Tasks) {
    tasks.spawn("kv-sweep", async move {
        let (mut is_failing, mut suspects) = (false, HashSet::new());
        for round in 0_u32.. {
            let swept = sweep(&store, round.is_multiple_of(ORPHANS_EVERY).then_some(&mut suspects)).await;
            if let (Err(error), false) = (&swept, is_failing) {
                tracing::warn!(%error, "Dead keys could not be swept; they take space until it works again");
            }
            is_failing = swept.is_err();
            tokio::time::sleep(SWEEP_INTERVAL).await;
        }
    });
}

/// Sweeps dead keys and, if it is given those of the last time, files that no row names.
async fn sweep(store: &Store, suspects: Option<&mut HashSet<String>>) -> Result<(), KvError> {
    let keys = store.sweep().await?;
    if 0 < keys {
        tracing::debug!(keys, "Swept dead keys");
    }
    if let Some(suspects) = suspects {
        *suspects = store.sweep_orphans(suspects).await?;
    }
    Ok(())
}
