//! Which version of a Worker answers a request: the one it names, else the one its key is assigned to, else any by its
//! share. Requests over service bindings ask in the same way; calls (JS RPC) have no headers to ask with.

use http::{HeaderMap, HeaderName};
use model::VersionId;
use workers::Route;

/// Names versions by Worker (Cloudflare: Workers, version overrides).
const OVERRIDES: HeaderName = HeaderName::from_static("cloudflare-workers-version-overrides");

/// Keeps its bearer on one version (Cloudflare: Workers, gradual deployments, version affinity).
const KEY: HeaderName = HeaderName::from_static("cloudflare-workers-version-key");

/// The version for a request with these headers; `None` while nothing is deployed.
#[must_use]
pub fn version_for(route: &Route, headers: &HeaderMap) -> Option<VersionId> {
    // Most requests ask for nothing. Lines of one dictionary follow each other, and the last member counts.
    let mut overrides = headers.get_all(OVERRIDES).iter().rev();
    if let Some(version) = overrides.find_map(|line| route.overridden(line.to_str().ok()?)) {
        return Some(version);
    }
    match headers.get(KEY) {
        Some(key) => route.choose_for_key(key.as_bytes()),
        None => route.choose(rand::random()),
    }
}
