//! Which host is answered by which versions: a table that the register publishes whole after each change, and that the
//! ingress reads without waiting.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use model::{ScriptName, VersionId};

/// The published table; cheap to clone, every clone sees the newest table.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<ArcSwap<RouteTable>>);

/// All hosts of one moment.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// By lower-case host name without port, for example `hello.localhost`.
    pub hosts: HashMap<String, Arc<Route>>,
}

/// Who answers a host.
#[derive(Debug)]
pub struct Route {
    /// The Worker.
    pub script: ScriptName,
    /// Its versions and their shares of 100 %; empty while nothing is deployed.
    pub versions: Vec<Share>,
}

/// A version's share of a Worker's requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The version.
    pub version: VersionId,
    /// Between 0 and 100; the shares of a deployment add up to 100.
    pub percentage: f64,
}

impl Routes {
    /// Who answers `host` (any case, without port).
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Arc<Route>> {
        let table = self.0.load();
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return table.hosts.get(&host.to_ascii_lowercase()).cloned();
        }
        table.hosts.get(host).cloned()
    }

    /// Puts a new table in force. A request that begins after this call is answered by it.
    pub fn publish(&self, table: RouteTable) {
        self.0.store(Arc::new(table));
    }
}
