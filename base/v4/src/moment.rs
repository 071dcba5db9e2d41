//! Moments as the API writes them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970 as the API writes a time.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
