//! The part of the route table that zones bring: custom domains, and patterns sorted so that the first match decides.
//! Looking up allocates nothing: each step is a hash of a borrowed host or a walk over one zone's patterns.

use std::{collections::HashMap, sync::Arc};

use model::{BucketPlace, ScriptName};

use crate::{
    pattern::{Pattern, Target, endings},
    routes::Route,
};

/// What the store says of all zones when the table is made.
#[derive(Debug, Default)]
pub(crate) struct ZoneLayout {
    /// Names of all zones.
    pub(crate) zones: Vec<String>,
    /// Zone, pattern, and the Worker that answers; no Worker answers where there is none.
    pub(crate) routes: Vec<(String, Pattern, Option<ScriptName>)>,
    /// Host and the Worker that answers all of it.
    pub(crate) domains: Vec<(String, ScriptName)>,
    /// Host and the bucket that is read there.
    pub(crate) buckets: HashMap<String, BucketPlace>,
}

/// Custom domains and zone routes of one moment.
#[derive(Debug, Default)]
pub struct ZoneTable {
    domains: HashMap<String, Arc<Route>>,
    buckets: HashMap<String, BucketPlace>,
    zones: HashMap<String, ZoneRules>,
}

/// The routes of one zone.
#[derive(Debug, Default)]
struct ZoneRules {
    /// Of patterns without a star in front, by host.
    by_host: HashMap<String, Vec<Rule>>,
    /// Of patterns with one.
    open: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    route: Option<Arc<Route>>,
}

impl ZoneTable {
    pub(crate) fn build(layout: ZoneLayout, scripts: &HashMap<ScriptName, Arc<Route>>) -> Self {
        let mut zones: HashMap<String, ZoneRules> =
            layout.zones.into_iter().map(|name| (name, ZoneRules::default())).collect();
        for (zone, pattern, script) in layout.routes {
            let rules = zones.entry(zone).or_default();
            // A route whose Worker is not there answers nothing, and hides less specific ones as one without a Worker does.
            let route = script.and_then(|script| scripts.get(&script).cloned());
            let place = match pattern.only_host() {
                Some(host) => rules.by_host.entry(host.to_owned()).or_default(),
                None => &mut rules.open,
            };
            place.push(Rule { pattern, route });
        }
        for rules in zones.values_mut() {
            for list in rules.by_host.values_mut().chain([&mut rules.open]) {
                list.sort_by_key(|rule| rule.pattern.order());
            }
        }
        let domains = layout.domains.into_iter();
        let domains = domains.filter_map(|(host, script)| Some((host, Arc::clone(scripts.get(&script)?))));
        Self { domains: domains.collect(), buckets: layout.buckets, zones }
    }

    /// Whose custom domain this is.
    pub(crate) fn domain(&self, host: &str) -> Option<&Arc<Route>> {
        self.domains.get(host)
    }

    /// Which bucket's custom domain this is.
    pub(crate) fn bucket(&self, host: &str) -> Option<&BucketPlace> {
        self.buckets.get(host)
    }

    /// All custom domains.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().chain(self.buckets.keys()).map(String::as_str)
    }

    /// What the most specific matching route says: a Worker, or that there is to be none. `None` if no route matches.
    pub(crate) fn route(&self, target: &Target<'_>) -> Option<Option<&Arc<Route>>> {
        let rules = self.rules(target.host)?;
        let matches = |rule: &&Rule| rule.pattern.matches_rest(target.is_https, target.path_and_query);
        let mut of_host = rules.by_host.get(target.host).into_iter().flatten();
        let mut open = rules.open.iter().filter(|rule| rule.pattern.matches_host(target.host));
        let found = of_host.find(matches).or_else(|| open.find(matches))?;
        Some(found.route.as_ref())
    }

    /// Whether some URL of this host may be answered.
    pub(crate) fn serves(&self, host: &str) -> bool {
        let has_rule = |rules: &ZoneRules| {
            let of_host = rules.by_host.get(host).into_iter().flatten();
            let open = rules.open.iter().filter(|rule| rule.pattern.matches_host(host));
            of_host.chain(open).any(|rule| rule.route.is_some())
        };
        self.domains.contains_key(host) || self.rules(host).is_some_and(has_rule)
    }

    /// The rules of the zone that a host belongs to: the one with the longest name.
    fn rules(&self, host: &str) -> Option<&ZoneRules> {
        if self.zones.is_empty() {
            return None;
        }
        endings(host).find_map(|ending| self.zones.get(ending))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use model::ScriptName;
    use proptest::{prelude::*, sample::select};

    use super::{ZoneLayout, ZoneTable};
    use crate::{
        pattern::{Pattern, Target},
        routes::Route,
    };

    type Rows = Vec<(String, Pattern, Option<ScriptName>)>;

    fn is_within(host: &str, zone: &str) -> bool {
        host == zone || host.ends_with(&format!(".{zone}"))
    }

    const ZONES: [&str; 3] = ["b.c", "a.b.c", "d.c"];

    fn table(rows: &Rows) -> ZoneTable {
        let scripts: HashMap<ScriptName, Arc<Route>> = rows
            .iter()
            .filter_map(|(_, _, script)| script.clone())
            .map(|script| (script.clone(), Arc::new(Route { script, versions: Vec::new(), owner: None })))
            .collect();
        let zones = ZONES.iter().map(ToString::to_string).collect();
        let layout = ZoneLayout { zones, routes: rows.clone(), ..ZoneLayout::default() };
        ZoneTable::build(layout, &scripts)
    }

    /// The definition: of all patterns of the host's zone that match, the first in order decides.
    fn model(rows: &Rows, target: &Target<'_>) -> Option<Option<ScriptName>> {
        let zone = home(target.host)?;
        let matching = rows.iter().filter(|(of, pattern, _)| {
            let pattern_text = pattern.to_string();
            let (scheme, rest) = match pattern_text.split_once("://") {
                Some((scheme, rest)) => (Some(scheme), rest),
                None => (None, pattern_text.as_str()),
            };
            let (host, path) = rest.split_at(rest.find('/').expect("a path"));
            let is_host = match host.strip_prefix('*') {
                Some(ending) => target.host.ends_with(ending),
                None => target.host == host,
            };
            let is_path = match path.strip_suffix('*') {
                Some(beginning) => target.path_and_query.starts_with(beginning),
                None => target.path_and_query == path,
            };
            let is_scheme = scheme.is_none_or(|scheme| (scheme == "https") == target.is_https);
            *of == zone && is_host && is_path && is_scheme
        });
        matching.min_by_key(|(_, pattern, _)| pattern.order()).map(|(_, _, script)| script.clone())
    }

    // Few names and short paths, so that many patterns match one URL.
    fn host() -> impl Strategy<Value = String> {
        let labels = select(vec!["", "", "a.", "ab.", "a.a.", "b.a."]);
        (labels, select(vec!["b.c", "b.c", "a.b.c", "d.c", "c"]))
            .prop_map(|(labels, end)| labels.to_owned() + end)
    }

    fn path() -> impl Strategy<Value = &'static str> {
        select(vec!["/", "/", "/a", "/a", "/a/", "/aa", "/a/b", "/a/b/", "/b"])
    }

    fn home(host: &str) -> Option<&'static str> {
        ZONES.into_iter().filter(|zone| is_within(host, zone)).max_by_key(|zone| zone.len())
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let scheme = select(vec!["", "", "http://", "https://"]);
        let front = select(vec!["", "*", "*."]);
        let end = select(vec!["", "*", "*"]);
        let script = select(vec![None, Some("one"), Some("two"), Some("three"), Some("four")]);
        // Mostly in the zone that its host belongs to, as the register sees to.
        let zone = prop_oneof![4 => Just(None), 1 => select(ZONES.to_vec()).prop_map(Some)];
        let row = (zone, scheme, front, host(), path(), end, script);
        prop::collection::vec(row, 0..24).prop_map(|rows| {
            // As in the store, no pattern is there twice.
            let mut kept: HashMap<String, (String, Pattern, Option<ScriptName>)> = HashMap::new();
            for (zone, scheme, front, host, path, end, script) in rows {
                let pattern =
                    Pattern::parse(&format!("{scheme}{front}{host}{path}{end}")).expect("a pattern");
                let zone = zone.or_else(|| home(&host)).unwrap_or(ZONES[0]).to_owned();
                let script = script.map(|name: &str| name.parse().expect("a name"));
                kept.insert(pattern.to_string(), (zone, pattern, script));
            }
            kept.into_values().collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn looking_up_agrees_with_the_definition(
            rows in rows(),
            urls in prop::collection::vec((host(), path(), select(vec!["", "", "?q"]), any::<bool>()), 8),
        ) {
            let table = table(&rows);
            for (host, path, query, is_https) in urls {
                let path_and_query = format!("{path}{query}");
                let target = Target { is_https, host: &host, path_and_query: &path_and_query };
                let found = table.route(&target).map(|route| route.map(|route| route.script.clone()));
                prop_assert_eq!(&found, &model(&rows, &target), "{:?}", target);
                prop_assert!(!matches!(found, Some(Some(_))) || table.serves(&host), "{}", host);
            }
        }
    }
}
