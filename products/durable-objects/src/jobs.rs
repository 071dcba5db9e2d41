//! What nobody waits for: alarms of objects whose process has ended, and folders of Workers that are gone.
//!
//! While a process runs, workerd keeps its alarms. When it has ended, for whatever reason, the earliest one is read from its
//! files; when that is due the process is started, and workerd does the rest.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ::model::ScriptTag;
use tasks::Tasks;

use crate::homes::Homes;

/// The longest sleep: a system clock that was set makes an alarm late by no more.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Time between two looks for what is left of deleted Workers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Until a Worker that could not be started for an alarm is tried again.
const WAKE_RETRY_MS: u64 = 5_000;

/// Works until the server stops.
pub(crate) fn start(homes: Arc<Homes>, tasks: &Tasks) {
    tasks.spawn("durable-objects-sweep", sweep_now_and_then(Arc::clone(&homes)));
    let own_tasks = tasks.clone();
    tasks.spawn("durable-objects-alarms", async move {
        for home in known_homes(&homes).await.unwrap_or_default() {
            homes.leave(home);
        }
        loop {
            read_alarms(&homes).await;
            let now_ms = homes.clock.unix_ms();
            let (due, next_ms) = homes.take_due(now_ms);
            for home in due {
                own_tasks.spawn("durable-objects-wake", wake(Arc::clone(&homes), home));
            }
            let until_next =
                next_ms.map_or(SLEEP_MAX, |next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms)));
            tokio::time::timeout(until_next.min(SLEEP_MAX), homes.changed.notified()).await.ok();
        }
    });
}

/// Reads the alarms of homes that a process has left.
async fn read_alarms(homes: &Arc<Homes>) {
    for home in homes.take_left() {
        // Who has it meanwhile keeps the alarms, may be removing namespaces, and leaves in its turn.
        let Some(place) = homes.try_enter(&home) else { continue };
        if let Err(error) = homes.settle_free(&home).await {
            tracing::warn!(%home, %error, "A namespace of Durable Objects could not be moved; it is tried again");
        }
        let (files, of) = (Arc::clone(homes), home.clone());
        let next_ms = tokio::task::spawn_blocking(move || files.next_alarm_ms(&of)).await;
        homes.set_due(&home, next_ms.unwrap_or_default());
        drop(place);
    }
}

async fn wake(homes: Arc<Homes>, home: ScriptTag) {
    let woken = match homes.registry() {
        Ok(registry) => registry.wake(&home).await,
        Err(error) => Err(error),
    };
    match woken {
        Ok(()) => tracing::debug!(%home, "Started a Worker for an alarm"),
        Err(error) => {
            tracing::warn!(%home, error, "A Worker could not be started for an alarm; it is tried again");
            homes.set_due(&home, Some(homes.clock.unix_ms() + WAKE_RETRY_MS));
            homes.changed.notify_one();
        }
    }
}

async fn sweep_now_and_then(homes: Arc<Homes>) {
    loop {
        if let Err(error) = homes.sweep().await {
            tracing::warn!(%error, "Folders of Durable Objects could not be swept; it is tried again in a minute");
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

async fn known_homes(homes: &Homes) -> Result<HashSet<ScriptTag>, String> {
    Ok(homes.namespaces().await?.into_iter().map(|namespace| namespace.home).collect())
}
