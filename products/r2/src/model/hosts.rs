//! Under which hosts anybody may read a bucket.

use serde::{Deserialize, Serialize};

/// A bucket's public hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hosts {
    /// Whether the host that we give it answers (wrangler: `r2 bucket dev-url`).
    #[serde(default)]
    pub(crate) is_managed: bool,
}

/// The host that a bucket is given, by its id.
pub(crate) fn managed_host(bucket_id: &str, base_domain: &str) -> String {
    format!("pub-{bucket_id}.r2.{base_domain}")
}
