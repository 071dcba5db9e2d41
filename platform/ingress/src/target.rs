//! The target of a request as Workers see it: path and query alone, without dot segments.
//!
//! Cloudflare normalises paths before anything looks at them (URL normalization, on by default), and so does miniflare. It
//! also means that `/x/../cdn-cgi/` is recognised for what it is.

use http::{Uri, uri};

use crate::fault::Fault;

/// The target in origin form.
pub(crate) fn normal(target: Uri) -> Result<Uri, Fault> {
    let is_origin_form = target.authority().is_none() && target.scheme().is_none();
    if is_origin_form && !may_have_dot_segments(target.path()) {
        return Ok(target);
    }
    let path = without_dot_segments(target.path());
    let path_and_query = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri::Parts::default();
    parts.path_and_query = path_and_query.parse().ok();
    Uri::from_parts(parts).or(Err(Fault::bad_request("the target is not a path")))
}

/// Quick to say no: nearly every path.
fn may_have_dot_segments(path: &str) -> bool {
    path.contains("/.") || path.contains("/%2")
}

/// Removes `.` and `..` segments, also where the dot is written `%2e`, as browsers do (WHATWG URL, path state).
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            0 => kept.push(segment),
            count => {
                if count == 2 {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    format!("/{}", kept.join("/"))
}

/// 1 or 2 for a segment of so many dots and nothing else, otherwise 0.
fn dots(segment: &str) -> usize {
    let mut rest = segment.as_bytes();
    let mut count = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return 0,
        };
        count += 1;
    }
    if count <= 2 { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use proptest::{prelude::*, sample::select};

    use super::{dots, normal};

    fn target() -> impl Strategy<Value = String> {
        let pieces = vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "a", "cdn-cgi", "?", ";", "%", "*", ":", "@",
            "http://h",
        ];
        prop::collection::vec(select(pieces), 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_normal_stays_so_and_has_no_dot_segment(target in target()) {
            let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
            let Ok(found) = normal(uri.clone()) else { return Ok(()) };
            prop_assert!(found.authority().is_none() && found.scheme().is_none());
            prop_assert_eq!(found.query(), uri.query());
            prop_assert_eq!(&normal(found.clone()).unwrap(), &found);
            // What does not begin with a slash is refused afterwards.
            if let Some(path) = found.path().strip_prefix('/') {
                prop_assert!(path.split('/').all(|segment| segment.is_empty() || dots(segment) == 0), "{}", path);
            }
        }
    }

    #[test]
    fn dot_segments_are_gone_and_the_rest_is_as_it_came() {
        for (target, expected) in [
            ("/", "/"),
            ("/a/b?c=/../d", "/a/b?c=/../d"),
            ("/a/../b/./c//d?x", "/b/c//d?x"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/%2e%2E/b/%2E", "/b/"),
            ("/.../..a/.b", "/.../..a/.b"),
            ("/%2f/%20", "/%2f/%20"),
            ("http://host.example/a/../b?c", "/b?c"),
            ("http://host.example", "/"),
        ] {
            let found = normal(target.parse().unwrap()).unwrap();
            assert_eq!(found.to_string(), expected, "{target}");
        }
    }
}
