//! Bounded waiting: for a condition that nobody announces, and for a future that might never end.

use std::time::Duration;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Looks at a condition until it holds.
///
/// # Panics
/// If it does not hold within `limit`; `what` says what was waited for.
pub async fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    within(what, limit, async {
        while !condition() {
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// Waits for a future.
///
/// # Panics
/// If it does not end within `limit`; `what` says what was waited for.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}
