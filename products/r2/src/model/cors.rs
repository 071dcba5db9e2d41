//! Which web pages may use a bucket (Cloudflare: R2, CORS): the rules as the API writes them, and the one function that decides.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::R2Error;

/// Most rules of a bucket (AWS: PutBucketCors).
const RULES_MAX: usize = 100;

/// What a rule may allow.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// The longest that browsers are told to remember (Cloudflare API: R2 CORS, `maxAgeSeconds`).
const MAX_AGE_S_MAX: u32 = 86_400;

/// A bucket's rules; the first that fits counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cors {
    pub(crate) rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CorsRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) allowed: Allowed,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expose_headers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_seconds: Option<u32>,
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allowed {
    pub(crate) methods: Vec<String>,
    /// `*` stands once for any text.
    pub(crate) origins: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<String>,
}

impl Cors {
    /// Checks what the bucket's owner wrote.
    pub(crate) fn check(self) -> Result<Self, R2Error> {
        if RULES_MAX < self.rules.len() {
            return Err(R2Error::CorsInvalid(format!("it has more than {RULES_MAX} rules")));
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let refuse = |why: String| Err(R2Error::CorsInvalid(format!("rule {}: {why}", number + 1)));
            let Allowed { methods, origins, headers } = &rule.allowed;
            if methods.is_empty() || origins.is_empty() {
                return refuse("it must allow at least one method and one origin".to_owned());
            }
            if let Some(method) = methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
                return refuse(format!("`{method}` is none of {}", METHODS.join(", ")));
            }
            if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
                return refuse(format!("`{origin}` is no origin: use scheme://host[:port], or *"));
            }
            let names = headers.iter().chain(&rule.expose_headers);
            let mut odd =
                names.filter(|name| *name != "*" && name.replace('*', "x").parse::<HeaderName>().is_err());
            if let Some(name) = odd.next() {
                return refuse(format!("`{name}` is no header's name"));
            }
            if rule.max_age_seconds.is_some_and(|seconds| MAX_AGE_S_MAX < seconds) {
                return refuse(format!("maxAgeSeconds is at most {MAX_AGE_S_MAX}"));
            }
        }
        Ok(self)
    }

    /// Adds to an answer what lets the asking page read it.
    pub(crate) fn allow(&self, method: &Method, asked: &HeaderMap, answer: &mut HeaderMap) {
        let Some(origin) = asked.get(header::ORIGIN) else { return };
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(rule) = self.find(origin, method.as_str(), &[]) else { return };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, rule.origin(origin));
        insert(answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, rule.expose_headers.join(", "));
    }

    /// Answers a browser that asks beforehand; `None` if the request is no such question.
    pub(crate) fn preflight(&self, asked: &HeaderMap) -> Option<(StatusCode, HeaderMap)> {
        let origin = asked.get(header::ORIGIN)?;
        let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()?;
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok());
        let wanted = wanted.unwrap_or_default();
        let names: Vec<_> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let mut answer = HeaderMap::new();
        answer.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        let Some(rule) = self.find(origin, method, &names) else {
            return Some((StatusCode::FORBIDDEN, answer));
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, rule.origin(origin));
        insert(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, rule.allowed.methods.join(", "));
        insert(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, names.join(", "));
        insert(&mut answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, rule.expose_headers.join(", "));
        let max_age = rule.max_age_seconds.map(|seconds| seconds.to_string());
        insert(&mut answer, header::ACCESS_CONTROL_MAX_AGE, max_age.unwrap_or_default());
        Some((StatusCode::NO_CONTENT, answer))
    }

    fn find(&self, origin: &HeaderValue, method: &str, headers: &[&str]) -> Option<&CorsRule> {
        let origin = origin.to_str().ok()?;
        self.rules.iter().find(|CorsRule { allowed, .. }| {
            let allows = |name: &&str| {
                allowed
                    .headers
                    .iter()
                    .any(|pattern| fits(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase()))
            };
            allowed.origins.iter().any(|pattern| fits(pattern, origin))
                && allowed.methods.iter().any(|allowed| allowed == method)
                && headers.iter().all(allows)
        })
    }
}

impl CorsRule {
    /// `*` where the rule says so, else the origin that asked.
    fn origin(&self, asked: &HeaderValue) -> HeaderValue {
        if self.allowed.origins.iter().any(|origin| origin == "*") {
            HeaderValue::from_static("*")
        } else {
            asked.clone()
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let (false, Ok(value)) = (text.is_empty(), HeaderValue::try_from(text)) {
        headers.insert(name, value);
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any text, once.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            before.len() + after.len() <= text.len() && text.starts_with(before) && text.ends_with(after)
        }
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" || text == "null" };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]*+".contains(&byte);
    !scheme.is_empty()
        && !host.is_empty()
        && text.matches('*').count() <= 1
        && [scheme, host].concat().bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(json: serde_json::Value) -> Result<Cors, R2Error> {
        serde_json::from_value::<Cors>(serde_json::json!({ "rules": json })).expect("a document").check()
    }

    fn ask(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_first_rule_that_fits_answers() {
        let cors = cors(serde_json::json!([
            {"allowed": {"methods": ["PUT"], "origins": ["https://*.example.com"], "headers": ["Content-*"]},
             "exposeHeaders": ["ETag"], "maxAgeSeconds": 60},
            {"allowed": {"methods": ["GET"], "origins": ["*"]}},
        ]));
        let cors = cors.unwrap();
        let put = [
            (header::ORIGIN, "https://a.example.com"),
            (header::ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type"),
        ];
        let (status, answer) = cors.preflight(&ask(&put)).unwrap();
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example.com");
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_HEADERS], "content-type");
        assert_eq!(answer[header::ACCESS_CONTROL_MAX_AGE], "60");
        for (at, other) in [(0, "https://example.com"), (0, "null"), (1, "DELETE"), (2, "x-own")] {
            let mut other_put = put.clone();
            other_put[at].1 = other;
            assert_eq!(cors.preflight(&ask(&other_put)).unwrap().0, StatusCode::FORBIDDEN, "{other}");
        }
        assert!(cors.preflight(&ask(&put[..1])).is_none(), "that is no question");

        let mut answer = HeaderMap::new();
        cors.allow(&Method::GET, &ask(&[(header::ORIGIN, "http://any")]), &mut answer);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let mut answer = HeaderMap::new();
        cors.allow(&Method::PUT, &ask(&[(header::ORIGIN, "http://any")]), &mut answer);
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(answer[header::VARY], "Origin");
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for (rule, said) in [
            (serde_json::json!({"allowed": {"methods": ["PATCH"], "origins": ["*"]}}), "PATCH"),
            (serde_json::json!({"allowed": {"methods": [], "origins": ["*"]}}), "at least one method"),
            (serde_json::json!({"allowed": {"methods": ["GET"], "origins": ["example.com"]}}), "no origin"),
            (serde_json::json!({"allowed": {"methods": ["GET"], "origins": ["http://a/path"]}}), "no origin"),
            (
                serde_json::json!({"allowed": {"methods": ["GET"], "origins": ["*"], "headers": ["a b"]}}),
                "header",
            ),
            (
                serde_json::json!({"allowed": {"methods": ["GET"], "origins": ["*"]}, "maxAgeSeconds": 86401}),
                "86400",
            ),
        ] {
            let error = cors(serde_json::json!([rule])).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
