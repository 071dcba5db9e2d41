//! The dependency policy: allowed licences, one version of each crate, one crate per job. Which versions are used is the
//! root manifest's business.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, Package};

/// Licences that a permissive (Apache-2.0) program can ship with.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates present in two versions, each with the reason. This list may only shrink: a line that is no longer needed is a
/// failure.
const DUPLICATES: &[(&str, &str)] = &[
    ("base64", "instant-acme 0.8 keeps to 0.22"),
    ("crypto-common", "crc-fast 1.10, for s3s, keeps to 0.1"),
    ("digest", "crc-fast 1.10, for s3s, keeps to 0.10"),
    ("getrandom", "ring 0.17 keeps to 0.2"),
    ("hashbrown", "rowan 0.16, for apollo-parser, keeps to 0.14"),
    ("nom", "x509-parser 0.18 keeps to 7, s3s 0.14 has 8"),
    ("spin", "multer 3.1 keeps to 0.9"),
    ("syn", "derive macros are moving from 2 to 3; build time only"),
    ("synstructure", "derive macros are moving from syn 2 to 3; build time only"),
];

/// Crates that do a job another one does here already.
const REFUSED: &[(&str, &str)] = &[
    ("actix-web", "axum is the framework"),
    ("async-std", "tokio is the runtime"),
    ("chrono", "`time` is the calendar"),
    ("cmake", "no build needs more than a C compiler"),
    ("diesel", "rusqlite is the SQL binding"),
    ("env_logger", "tracing-subscriber prints the logs"),
    ("lazy_static_include", "include_str! does this"),
    ("native-tls", "rustls is the TLS stack"),
    ("openssl", "rustls is the TLS stack"),
    ("openssl-sys", "rustls is the TLS stack"),
    ("reqwest", "hyper is the HTTP client"),
    ("sqlx", "rusqlite is the SQL binding"),
    ("structopt", "clap parses the command line"),
    ("ureq", "hyper is the HTTP client"),
    ("warp", "axum is the framework"),
    ("aws-lc-rs", "ring is the cryptography behind rustls"),
];

/// Refused crates that another one brings along and that we do not name.
const BROUGHT_ALONG: &[(&str, &str)] = &[("chrono", "s3s 0.14 has it for the dates of its messages")];

/// Every breach of the policy.
pub(crate) fn problems(graph: &Metadata) -> Vec<String> {
    let used: BTreeSet<_> =
        graph.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| node.id.clone()).collect();
    let packages: Vec<&Package> =
        graph.packages.iter().filter(|package| used.contains(&package.id)).collect();
    let mut problems = licence_problems(&packages);
    problems.extend(duplicate_problems(&packages));
    problems.extend(packages.iter().filter_map(|package| {
        let is_it = |(name, _): &&(&str, &str)| *name == package.name.as_str();
        let (_, reason) = REFUSED.iter().find(is_it)?;
        if BROUGHT_ALONG.iter().any(|brought| is_it(&brought)) && !is_named(graph, package) {
            return None;
        }
        Some(format!("{}: refused, {reason}", package.name))
    }));
    problems
}

/// Whether a crate of ours depends on it.
fn is_named(graph: &Metadata, package: &Package) -> bool {
    let members = graph.workspace_packages();
    members.iter().any(|member| member.dependencies.iter().any(|named| named.name == *package.name))
}

fn licence_problems(packages: &[&Package]) -> Vec<String> {
    let is_refused = |package: &&&Package| !package.license.as_deref().is_some_and(is_allowed);
    let describe = |package: &&Package| {
        let licence = package.license.as_deref().unwrap_or("none stated");
        format!("{} {}: licence {licence} is not on the list", package.name, package.version)
    };
    packages.iter().filter(is_refused).map(describe).collect()
}

fn duplicate_problems(packages: &[&Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        versions.entry(package.name.as_str()).or_default().insert(package.version.to_string());
    }
    versions.retain(|_, found| 1 < found.len());
    let is_listed = |name: &str| DUPLICATES.iter().any(|(listed, _)| *listed == name);
    let new = versions.iter().filter(|(name, _)| !is_listed(name)).map(|(name, found)| {
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        format!("{name}: in versions {}; one must do", found.join(" and "))
    });
    let stale = DUPLICATES.iter().filter(|(name, _)| !versions.contains_key(name)).map(|(name, _)| {
        format!("{name}: there is only one version now; take it off the list in xtask/src/dependencies.rs")
    });
    new.chain(stale).collect()
}

/// Whether an SPDX expression can be met with the licences on the list: one side of each `OR`, all sides of an `AND`.
/// `AND` binds tighter than `OR`; the old `MIT/Apache-2.0` means `OR`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split_outside(expression, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split_outside(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_allowed(inner),
        None => LICENCES.contains(&expression),
    }
}

fn split_outside<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let is_outside = |at: &usize| {
        let before = &text[..*at];
        before.matches('(').count() == before.matches(')').count()
    };
    let at = text.match_indices(word).map(|(at, _)| at).find(is_outside)?;
    Some((&text[..at], &text[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dependency_keeps_to_the_policy() {
        let problems = problems(&crate::graph::load().unwrap());
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn licence_expressions_are_read_as_spdx_says() {
        assert!(is_allowed("MIT"));
        assert!(is_allowed("GPL-3.0 OR MIT"));
        assert!(is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
        assert!(!is_allowed("MIT AND GPL-3.0"));
        assert!(!is_allowed("(MIT AND GPL-3.0) OR AGPL-3.0"));
        assert!(!is_allowed(""));
    }
}
