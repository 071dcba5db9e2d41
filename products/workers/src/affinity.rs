//! Which version of a rollout a request asks for: by a key that keeps a visitor on one version, or by naming the version.
//! Requests that ask for nothing are `Route::choose`'s.

use model::VersionId;
use sha2::{Digest, Sha256};

use crate::routes::{Route, Share};

impl Route {
    /// The version for all requests with this key (`Cloudflare-Workers-Version-Key`), in any process and after any restart.
    /// Over many keys each version has its share; while one version's share only grows and no other's does, the keys it
    /// already has stay with it. `None` while nothing is deployed.
    #[must_use]
    pub fn choose_for_key(&self, key: &[u8]) -> Option<VersionId> {
        if let [only] = self.versions.as_slice() {
            return Some(only.version);
        }
        // Weighted rendezvous hashing: each version draws a waiting time for the key, and the first to come has it. A
        // larger share shortens a version's own times and no other's, which no cutting of 0..1 into ranges would keep for
        // more than two versions, or in whatever order they are named.
        let answering = self.versions.iter().filter(|share| 0.0 < share.percentage);
        let first =
            answering.min_by(|one, other| waiting_time(one, key).total_cmp(&waiting_time(other, key)));
        first.map(|share| share.version)
    }

    /// The version that `Cloudflare-Workers-Version-Overrides` names for this Worker, if it is in the current deployment,
    /// be it with 0 %. The header is a dictionary of strings (RFC 8941 section 3.2); of two members of one name the last
    /// counts, and members that are not strings are passed over.
    #[must_use]
    pub fn overridden(&self, header: &str) -> Option<VersionId> {
        let mut named = None;
        for member in members(header)? {
            let Some((name, value)) = member.split_once('=') else { continue };
            if name == self.script.as_str() {
                named = quoted(value);
            }
        }
        let version: VersionId = named?.parse().ok()?;
        self.versions.iter().any(|share| share.version == version).then_some(version)
    }
}

/// Exponentially distributed over keys, with the share as its rate.
fn waiting_time(share: &Share, key: &[u8]) -> f64 {
    let mut hasher = Sha256::new();
    hasher.update(share.version.to_string());
    hasher.update(key);
    let digest = hasher.finalize();
    // 32 bits are exact in a double and far finer than a percentage; the half keeps the logarithm finite.
    let draw = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let uniform = (f64::from(draw) + 0.5) / 4_294_967_296.0;
    -uniform.ln() / share.percentage
}

/// The members of a dictionary, divided at commas outside of strings; `None` if a string does not end.
fn members(header: &str) -> Option<Vec<&str>> {
    let mut members = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    for (position, byte) in header.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                members.push(header[begin..position].trim_matches([' ', '\t']));
                begin = position + 1;
            }
            _ => {}
        }
    }
    members.push(header[begin..].trim_matches([' ', '\t']));
    (!is_quoted).then_some(members)
}

/// The text of a string, whatever parameters follow it. No version id needs an escape.
fn quoted(value: &str) -> Option<&str> {
    let (text, rest) = value.strip_prefix('"')?.split_once('"')?;
    (rest.is_empty() || rest.starts_with(';')).then_some(text)
}

#[cfg(test)]
mod tests {
    use model::VersionId;

    use super::{Route, Share};

    const KEYS: u32 = 20_000;

    fn route(shares: &[(VersionId, f64)]) -> Route {
        let share =
            |(version, percentage): &(VersionId, f64)| Share { version: *version, percentage: *percentage };
        Route { script: "app".parse().unwrap(), versions: shares.iter().map(share).collect(), owner: None }
    }

    fn chosen(route: &Route) -> Vec<VersionId> {
        (0..KEYS).map(|key| route.choose_for_key(format!("user-{key}").as_bytes()).unwrap()).collect()
    }

    fn version(digit: u8) -> VersionId {
        format!("{digit:032x}").parse().unwrap()
    }

    #[test]
    fn keys_are_shared_out_by_percentage_and_stay_while_a_share_grows() {
        let [a, b, c] = [version(1), version(2), version(3)];
        // The order in which a deployment names its versions is the caller's whim.
        let steps = [
            route(&[(a, 60.0), (b, 10.0), (c, 30.0)]),
            route(&[(b, 50.0), (c, 20.0), (a, 30.0)]),
            route(&[(c, 5.0), (a, 5.0), (b, 90.0)]),
            route(&[(b, 100.0)]),
        ];
        let mut before: Option<Vec<VersionId>> = None;
        for step in &steps {
            let now = chosen(step);
            for share in &step.versions {
                let count = now.iter().filter(|version| **version == share.version).count();
                let count = f64::from(u32::try_from(count).unwrap());
                let expected = f64::from(KEYS) * share.percentage / 100.0;
                let sigma = (expected * (1.0 - share.percentage / 100.0)).sqrt();
                assert!((count - expected).abs() <= 5.0 * sigma, "{count} of {expected}");
            }
            if let Some(before) = before {
                assert!(before.iter().zip(&now).all(|(before, now)| *before != b || *now == b));
            }
            before = Some(now);
        }
    }

    #[test]
    fn a_key_has_the_same_version_in_every_build() {
        let route = route(&[(version(1), 50.0), (version(2), 50.0)]);
        let found: String = (0..16)
            .map(|key: u8| if route.choose_for_key(&[key]) == Some(version(1)) { '1' } else { '2' })
            .collect();
        assert_eq!(found, "2212122211211111", "written down once, and never to change");
    }

    #[test]
    fn a_version_without_a_share_gets_no_key() {
        let idle = route(&[(version(1), 0.0), (version(2), 100.0)]);
        assert!(chosen(&idle).iter().all(|chosen| *chosen == version(2)));
        assert_eq!(route(&[]).choose_for_key(b"key"), None);
    }

    #[test]
    fn an_override_counts_for_this_worker_and_its_current_deployment_only() {
        let (a, b) = (version(1), version(2));
        let route = route(&[(a, 100.0), (b, 0.0)]);
        for (header, expected) in [
            (format!(r#"app="{b}""#), Some(b)),
            (format!(r#"other="{a}", app="{b}";why=1 , more"#), Some(b)),
            (format!(r#"app="{a}",app="{b}""#), Some(b)),
            (format!(r#"other="a, \" app=", app="{b}""#), Some(b)),
            (format!(r#"app="{}""#, version(3)), None),
            (format!(r#"application="{b}""#), None),
            (format!("app={b}"), None),
            (format!(r#"app="{b}"#), None),
            (format!(r#"app="{b}"x"#), None),
            (String::new(), None),
            ("app".to_owned(), None),
            (r#"app="","#.to_owned(), None),
        ] {
            assert_eq!(route.overridden(&header), expected, "{header}");
        }
    }
}
