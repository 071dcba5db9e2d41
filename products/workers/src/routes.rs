//! Which host is answered by which versions: a table that the register publishes whole after each change, and that the
//! ingress reads without waiting.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use model::{BucketPlace, ObjectNamespaceId, ScriptName, VersionId};
use tokio::sync::watch;

use crate::{
    model::LABEL_BYTES_MAX,
    pattern::Target,
    zone_table::{ZoneLayout, ZoneTable},
};

/// The published table; cheap to clone, every clone sees the newest table.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<Newest>);

#[derive(Debug, Default)]
struct Newest {
    table: ArcSwap<RouteTable>,
    changes: watch::Sender<()>,
}

/// All hosts of one moment.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// By lower-case host name without port, for example `hello.localhost`.
    pub hosts: HashMap<String, Arc<Route>>,
    /// By script, whether or not it has a host: this is how Workers call each other.
    pub scripts: HashMap<ScriptName, Arc<Route>>,
    /// By namespace of Durable Objects: the Worker that implements its class.
    pub objects: HashMap<ObjectNamespaceId, Arc<Route>>,
    /// Custom domains and zone routes, which come before [`RouteTable::hosts`].
    pub zones: ZoneTable,
}

/// Who answers a host.
#[derive(Debug)]
pub struct Route {
    /// The Worker.
    pub script: ScriptName,
    /// Its versions and their shares of 100 %; empty while nothing is deployed.
    pub versions: Vec<Share>,
    /// The one of them that runs the Worker's Durable Objects, if it has any.
    pub owner: Option<VersionId>,
}

/// A version's share of a Worker's requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The version.
    pub version: VersionId,
    /// Between 0 and 100; the shares of a deployment add up to 100.
    pub percentage: f64,
}

impl Route {
    /// One of the versions, with its share as the probability; `draw` is between 0 and 1. `None` while nothing is
    /// deployed.
    #[must_use]
    pub fn choose(&self, draw: f64) -> Option<VersionId> {
        if let [only] = self.versions.as_slice() {
            return Some(only.version);
        }
        let total: f64 = self.versions.iter().map(|share| share.percentage).sum();
        let mut left = draw * total;
        for share in &self.versions {
            left -= share.percentage;
            if left < 0.0 {
                return Some(share.version);
            }
        }
        // Rounding can leave a crumb; it belongs to a version that answers at all.
        self.versions.iter().rev().find(|share| 0.0 < share.percentage).map(|share| share.version)
    }
}

impl Routes {
    /// Who answers a request.
    #[must_use]
    pub fn find(&self, target: &Target<'_>) -> Option<Arc<Route>> {
        let host = lower_case(target.host);
        self.0.table.load().find(&Target { host: &host, ..*target }).cloned()
    }

    /// Whether some request for `host` (any case, without port) may be answered.
    #[must_use]
    pub fn serves(&self, host: &str) -> bool {
        let host = lower_case(host);
        let table = self.0.table.load();
        table.hosts.contains_key(&*host) || table.zones.serves(&host)
    }

    /// The bucket whose custom domain `host` is (any case, without port); zone routes come before it.
    #[must_use]
    pub fn find_bucket(&self, host: &str) -> Option<BucketPlace> {
        self.0.table.load().zones.bucket(&lower_case(host)).cloned()
    }

    /// Who answers for a script.
    #[must_use]
    pub fn find_script(&self, script: &ScriptName) -> Option<Arc<Route>> {
        self.0.table.load().scripts.get(script).cloned()
    }

    /// Who answers for the objects of a namespace.
    #[must_use]
    pub fn find_objects(&self, namespace: &ObjectNamespaceId) -> Option<Arc<Route>> {
        self.0.table.load().objects.get(namespace).cloned()
    }

    /// Puts a new table in force. A request that begins after this call is answered by it.
    pub fn publish(&self, table: RouteTable) {
        self.0.table.store(Arc::new(table));
        self.0.changes.send_replace(());
    }

    /// Tells of each new table.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Every custom domain that somebody answers, a Worker or a bucket.
    #[must_use]
    pub fn custom_domains(&self) -> Vec<String> {
        self.0.table.load().zones.domains().map(str::to_owned).collect()
    }

    /// The host below `base` of every script that answers there; not those of previews.
    #[must_use]
    pub fn script_hosts(&self, base: &str) -> Vec<String> {
        let table = self.0.table.load();
        let hosts = table.scripts.keys().map(|script| format!("{script}.{base}"));
        hosts.filter(|host| table.hosts.contains_key(host)).collect()
    }
}

/// Nearly every client sends lower case already.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

/// What the store says of one script when the table is made.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) script: ScriptName,
    pub(crate) is_enabled: bool,
    pub(crate) shares: Vec<Share>,
    /// The version that runs its Durable Objects.
    pub(crate) owner: Option<VersionId>,
    /// Those it implements.
    pub(crate) namespaces: Vec<ObjectNamespaceId>,
    /// Newest first; empty unless previews are on.
    pub(crate) previews: Vec<Preview>,
}

/// A version that answers at hosts of its own.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) version: VersionId,
    pub(crate) alias: Option<String>,
}

impl RouteTable {
    /// Lays out the hosts below `base`. The exact name of a script wins over an alias, and an alias over a version's
    /// prefix; of two versions with one alias the newer has it.
    pub(crate) fn build(scripts: &[Published], base: &str) -> Self {
        let mut hosts = HashMap::new();
        let (mut by_script, mut by_namespace) = (HashMap::new(), HashMap::new());
        for published in scripts {
            let route = Arc::new(Route {
                script: published.script.clone(),
                versions: published.shares.clone(),
                owner: published.owner,
            });
            by_namespace.extend(published.namespaces.iter().map(|id| (id.clone(), Arc::clone(&route))));
            by_script.insert(published.script.clone(), Arc::clone(&route));
            if published.is_enabled {
                hosts.insert(format!("{}.{base}", published.script), route);
            }
        }
        // A disabled script's name stays its own: no preview of another may answer there.
        let names: HashSet<&str> = scripts.iter().map(|published| published.script.as_str()).collect();
        let previews = || {
            scripts
                .iter()
                .flat_map(|published| published.previews.iter().map(move |preview| (published, preview)))
        };
        let aliases = previews()
            .filter_map(|(published, preview)| Some((published, preview.version, preview.alias.clone()?)));
        let prefixes =
            previews().map(|(published, preview)| (published, preview.version, preview.version.prefix()));
        for (published, version, label) in aliases.chain(prefixes) {
            let label = format!("{label}-{}", published.script);
            if LABEL_BYTES_MAX < label.len() || names.contains(label.as_str()) {
                continue;
            }
            hosts.entry(format!("{label}.{base}")).or_insert_with(|| {
                let versions = vec![Share { version, percentage: 100.0 }];
                Arc::new(Route { script: published.script.clone(), versions, owner: None })
            });
        }
        Self { hosts, scripts: by_script, objects: by_namespace, zones: ZoneTable::default() }
    }

    /// Adds custom domains and zone routes.
    pub(crate) fn with_zones(mut self, layout: ZoneLayout) -> Self {
        self.zones = ZoneTable::build(layout, &self.scripts);
        self
    }

    /// Custom domain, zone route, script or preview: the first that there is decides, also if it says that nobody answers.
    fn find(&self, target: &Target<'_>) -> Option<&Arc<Route>> {
        if let Some(route) = self.zones.domain(target.host) {
            return Some(route);
        }
        match self.zones.route(target) {
            Some(decided) => decided,
            None => self.hosts.get(target.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::VersionId;

    use super::{Preview, Published, Route, RouteTable, Routes, Share};
    use crate::pattern::Target;

    fn published(script: &str, is_enabled: bool, previews: Vec<Preview>) -> Published {
        let shares = vec![Share { version: VersionId::random(), percentage: 100.0 }];
        let script = script.parse().expect("a valid name");
        Published { script, is_enabled, shares, owner: None, namespaces: Vec::new(), previews }
    }

    #[test]
    fn a_scripts_own_name_wins_over_every_preview() {
        let newest = VersionId::random();
        let older = VersionId::random();
        let preview = |version, alias: &str| Preview { version, alias: Some(alias.to_owned()) };
        let previews = vec![preview(newest, "next"), preview(older, "next"), preview(older, "taken")];
        let scripts = [published("app", true, previews), published("taken-app", false, Vec::new())];
        let routes = Routes::default();
        routes.publish(RouteTable::build(&scripts, "localhost"));
        let find = |host: &str| routes.find(&Target { is_https: false, host, path_and_query: "/" });

        assert_eq!(find("APP.localhost").unwrap().versions, scripts[0].shares);
        assert_eq!(find("next-app.localhost").unwrap().versions[0].version, newest);
        let host = format!("{}-app.localhost", older.prefix());
        assert_eq!(find(&host).unwrap().versions[0].version, older);
        assert!(find("taken-app.localhost").is_none() && !routes.serves("taken-app.localhost"));
    }

    #[test]
    fn versions_are_chosen_by_their_shares() {
        let (first, second) = (VersionId::random(), VersionId::random());
        let choose = |shares: &[(VersionId, f64)], draw| {
            let versions = shares
                .iter()
                .map(|(version, percentage)| Share { version: *version, percentage: *percentage });
            Route { script: "app".parse().unwrap(), versions: versions.collect(), owner: None }.choose(draw)
        };
        let shares = [(first, 25.0), (second, 75.0)];
        assert_eq!(choose(&[], 0.5), None);
        assert_eq!(choose(&shares[..1], 0.99), Some(first));
        assert_eq!(choose(&shares, 0.0), Some(first));
        assert_eq!(choose(&shares, 0.249), Some(first));
        assert_eq!(choose(&shares, 0.25), Some(second));
        assert_eq!(choose(&shares, 0.999), Some(second));
        assert_eq!(choose(&[(first, 0.0), (second, 100.0)], 0.0), Some(second));
    }

    #[test]
    fn a_label_longer_than_dns_allows_is_no_host() {
        let version = VersionId::random();
        let script = "a".repeat(55);
        let previews = vec![Preview { version, alias: None }];
        let table = RouteTable::build(&[published(&script, true, previews)], "localhost");
        assert_eq!(table.hosts.len(), 1);
    }
}
