//! Patterns of zone routes: what may be written, which URLs it matches, and which of two is more specific
//! (Cloudflare docs: Workers, Routes, Matching behavior; Known issues, Route specificity).

use std::{cmp::Reverse, fmt};

/// Longest pattern that is taken.
const PATTERN_BYTES_MAX: usize = 2_048;

/// Longest host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// What decides who answers a request.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Whether it came over TLS.
    pub is_https: bool,
    /// The host in any case, without port.
    pub host: &'a str,
    /// The path, with the query if there is one.
    pub path_and_query: &'a str,
}

/// The pattern of a route, checked. `Display` gives one text for all ways to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    is_https: Option<bool>,
    host: String,
    is_host_open: bool,
    path: String,
    is_path_open: bool,
}

/// Why a text is no pattern; the sentences are Cloudflare's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is for another zone.
    #[error("Route pattern must include zone name: {0}")]
    OutsideZone(String),
    /// A star in the middle.
    #[error(
        "Route pattern may only contain wildcards at the beginning of the hostname and the end of the path: {0}"
    )]
    InfixWildcard(String),
    /// A question mark.
    #[error("Route pattern should not have query parameters {0}")]
    Query(String),
    /// Anything else.
    #[error("Could not understand route pattern {0}, please try a different pattern")]
    Malformed(String),
}

impl Pattern {
    /// Reads `[http(s)://][*]host[/path[*]]`.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let malformed = || Err(PatternError::Malformed(text.to_owned()));
        if PATTERN_BYTES_MAX < text.len() {
            return Err(PatternError::Malformed(format!("of {} bytes", text.len())));
        }
        if text.contains('?') {
            return Err(PatternError::Query(text.to_owned()));
        }
        let (is_https, rest) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(true), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(false), rest),
            Some(_) => return malformed(),
        };
        let (host, path) = match rest.find('/') {
            Some(start) => rest.split_at(start),
            None => (rest, "/"),
        };
        let (host, is_host_open) = host.strip_prefix('*').map_or((host, false), |rest| (rest, true));
        let (path, is_path_open) = path.strip_suffix('*').map_or((path, false), |rest| (rest, true));
        if host.contains('*') || path.contains('*') {
            return Err(PatternError::InfixWildcard(text.to_owned()));
        }
        let labels = if is_host_open { host.strip_prefix('.').unwrap_or(host) } else { host };
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_host(labels) || !is_path {
            return malformed();
        }
        let (host, path) = (host.to_ascii_lowercase(), path.to_owned());
        Ok(Self { is_https, host, is_host_open, path, is_path_open })
    }

    /// The host that decides in which zone the pattern is: without star, and without the dot after it.
    pub(crate) fn zone_host(&self) -> &str {
        if self.is_host_open { self.host.strip_prefix('.').unwrap_or(&self.host) } else { &self.host }
    }

    /// The only host it can match, if there is only one.
    pub(crate) fn only_host(&self) -> Option<&str> {
        (!self.is_host_open).then_some(&self.host)
    }

    /// Whether it can match some URL of this host (lower case).
    pub(crate) fn matches_host(&self, host: &str) -> bool {
        if self.is_host_open { host.ends_with(&self.host) } else { host == self.host }
    }

    /// Whether it matches, apart from the host. The query counts as part of the path, so that a pattern without a star at
    /// its end matches only a URL without one.
    pub(crate) fn matches_rest(&self, is_https: bool, path_and_query: &str) -> bool {
        if self.is_https.is_some_and(|wanted| wanted != is_https) {
            return false;
        }
        if self.is_path_open { path_and_query.starts_with(&self.path) } else { path_and_query == self.path }
    }

    /// Sorts the most specific first: by host before path, a whole name before a longer ending before a shorter one. Of
    /// paths a whole one comes first, then more segments, where a last segment of only a star is worth less than none:
    /// `/images*` comes before `/images/*`, a documented oddity; then the longer one. No two that match the same URL are
    /// equal, except a pattern and itself.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let segments = self.path.split('/').count();
        let is_star_alone = self.is_path_open && self.path.ends_with('/');
        let depth = if is_star_alone { segments.saturating_sub(2) } else { segments };
        (
            self.is_host_open,
            Reverse(self.host.len()),
            self.is_path_open,
            Reverse(depth),
            Reverse(self.path.len()),
            self.is_https.is_none(),
        )
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.is_https {
            None => "",
            Some(true) => "https://",
            Some(false) => "http://",
        };
        let star = |is_open| if is_open { "*" } else { "" };
        let (before, after) = (star(self.is_host_open), star(self.is_path_open));
        write!(formatter, "{scheme}{before}{}{}{after}", self.host, self.path)
    }
}

/// Whether a text is a host name: labels of letters, digits, underscores and inner dashes.
pub(crate) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label)
}

/// `host`, then what is left of it without its first label, and so on: where the zone of a host is looked for.
pub(crate) fn endings(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |ending| ending.split_once('.').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pattern, PatternError, endings};

    // PROPTEST_CASES makes this a long run.
    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_a_pattern_means_what_its_text_says(
            text in prop_oneof!["(https?://)?\\*?\\.?[a-cA-C.-]{0,12}(/[a-c*]{0,4}){0,3}", "\\PC{0,40}"],
            host in "[a-c.]{1,16}",
        ) {
            let Ok(pattern) = Pattern::parse(&text) else { return Ok(()) };
            let shown = pattern.to_string();
            prop_assert_eq!(&Pattern::parse(&shown).unwrap(), &pattern, "{}", shown);
            // Whoever may have the pattern's host may not thereby have another.
            if pattern.matches_host(&host) {
                prop_assert!(host.ends_with(pattern.zone_host()), "{} for {}", shown, host);
                prop_assert!(pattern.only_host().is_none_or(|only| only == host), "{} for {}", shown, host);
            }
        }
    }

    fn matches(pattern: &str, url: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        pattern.matches_host(host) && pattern.matches_rest(scheme == "https", path)
    }

    #[test]
    fn patterns_match_as_documented() {
        let cases = [
            ("example.com/", "https://example.com/", true),
            ("example.com", "https://example.com/", true),
            ("example.com/", "https://www.example.com/", false),
            ("*example.com/", "https://example.com/", true),
            ("*example.com/", "https://www.example.com/", true),
            ("*.example.com/", "https://example.com/", false),
            ("*.example.com/", "https://a.b.example.com/", true),
            ("*.example.com/", "https://wwwexample.com/", false),
            ("example.com/path*", "https://example.com/path", true),
            ("example.com/path*", "https://example.com/path2/readme.txt", true),
            ("example.com/path*", "https://example.com/path?page=1", true),
            ("example.com/path", "https://example.com/path?page=1", false),
            ("example.com/path/*", "https://example.com/path", false),
            ("example.com/Path", "https://example.com/path", false),
            ("EXAMPLE.com/*", "https://example.com/x", true),
            ("example.com/*", "http://example.com/x", true),
            ("http://example.com/*", "http://example.com/x", true),
            ("http://example.com/*", "https://example.com/x", false),
            ("https://example.com/*", "http://example.com/x", false),
        ];
        for (pattern, url, expected) in cases {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        let infix = PatternError::InfixWildcard as fn(String) -> PatternError;
        let cases = [
            ("example.com/*.jpg", infix),
            ("www.*.example.com/", infix),
            ("example.com*", infix),
            ("**example.com/", infix),
            ("example.com/**", infix),
            ("example.com/?foo=*", PatternError::Query),
            ("", PatternError::Malformed),
            ("*", PatternError::Malformed),
            ("/path", PatternError::Malformed),
            ("ftp://example.com/", PatternError::Malformed),
            ("example.com:8080/", PatternError::Malformed),
            ("user@example.com/", PatternError::Malformed),
            ("exam ple.com/", PatternError::Malformed),
            ("example..com/", PatternError::Malformed),
            ("example.com/a b", PatternError::Malformed),
            ("example.com/#top", PatternError::Malformed),
            ("münchen.example.com/", PatternError::Malformed),
        ];
        for (text, reason) in cases {
            assert_eq!(Pattern::parse(text), Err(reason(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn the_more_specific_pattern_comes_first() {
        let in_order = [
            "https://www.example.com/images",
            "www.example.com/images",
            "www.example.com/images/large*",
            "www.example.com/images*",
            "www.example.com/images/*",
            "www.example.com/*",
            "example.com/a/very/long/path",
            "*.www.example.com/*",
            "*www.example.com/*",
            "*.example.com/a",
            "*.example.com/*",
            "*example.com/a",
            "*example.com/*",
        ];
        let mut patterns: Vec<Pattern> =
            in_order.iter().rev().map(|text| Pattern::parse(text).unwrap()).collect();
        patterns.sort_by_key(Pattern::order);
        let sorted: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, in_order);
    }

    #[test]
    fn one_pattern_has_one_text() {
        for (text, expected) in [
            ("Example.COM", "example.com/"),
            ("HTTPS://*.Example.com/A*", "https://*.example.com/A*"),
            ("*example.com/*", "*example.com/*"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_zone_is_looked_for_from_the_whole_host_upwards() {
        assert_eq!(endings("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
    }
}
