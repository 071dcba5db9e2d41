//! How a failure looks: a page to browsers, a problem document (RFC 9457) to programs that ask for JSON, a few lines of
//! text to everybody else. It decides nothing about status or wording.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Body,
    fault::{Facts, FaultKind},
    limits::RETRY_AFTER_SECS,
    ray::Ray,
};

const HTML: &str = include_str!("page.html");

/// Cloudflare's explanation of its 1xxx codes.
const CODES_URL: &str = "https://developers.cloudflare.com/workers/observability/errors/";

/// What a page speaks of.
#[derive(Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) kind: FaultKind,
    pub(crate) ray: Ray,
    /// The host, once it is known to be one.
    pub(crate) host: Option<&'a str>,
    pub(crate) base_domain: &'a str,
    pub(crate) unix_secs: u64,
}

/// A representation that a client may prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
    Problem,
    Text,
}

impl Format {
    /// The first media type in `Accept` that we have; text to clients that do not say, such as curl.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Self::Text;
        };
        let media_types = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
        media_types.filter_map(Self::named).next().unwrap_or(Self::Text)
    }

    fn named(media_type: &str) -> Option<Self> {
        const KNOWN: [(&str, Format); 5] = [
            ("text/html", Format::Html),
            ("application/xhtml+xml", Format::Html),
            ("application/json", Format::Json),
            ("application/problem+json", Format::Problem),
            ("text/plain", Format::Text),
        ];
        KNOWN.into_iter().find(|(name, _)| media_type.eq_ignore_ascii_case(name)).map(|(_, format)| format)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Problem => "application/problem+json; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// The whole answer.
pub(crate) fn answer(occasion: &Occasion<'_>, format: Format) -> Response<Body> {
    let facts = occasion.kind.facts();
    let text = match format {
        Format::Html => html(occasion, facts),
        Format::Json | Format::Problem => json(occasion, facts),
        Format::Text => plain(occasion, facts),
    };
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = facts.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if occasion.kind == FaultKind::Unavailable {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    }
    if occasion.kind.closes_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn html(occasion: &Occasion<'_>, facts: &Facts) -> String {
    // Nothing here needs escaping: a host has passed `Host::parse`, the rest are our own words.
    let host = occasion.host.map(|host| format!("<code>{host}</code> · ")).unwrap_or_default();
    HTML.replace("{title}", facts.title)
        .replace("{code}", &facts.code.to_string())
        .replace("{detail}", &detail(occasion, facts))
        .replace("{advice}", facts.advice)
        .replace("{host}", &host)
        .replace("{ray}", &occasion.ray.to_string())
        .replace("{time}", &timestamp(occasion))
}

fn plain(occasion: &Occasion<'_>, facts: &Facts) -> String {
    format!(
        "error code: {}\n{}: {}\n{}\nray id: {}\n",
        facts.code,
        facts.title,
        detail(occasion, facts),
        facts.advice,
        occasion.ray
    )
}

fn json(occasion: &Occasion<'_>, facts: &Facts) -> String {
    let is_http = facts.code == facts.status.as_u16();
    let problem = Problem {
        kind: if is_http { "about:blank" } else { CODES_URL },
        title: facts.title,
        status: facts.status.as_u16(),
        detail: detail(occasion, facts),
        instance: occasion.ray.to_string(),
        error_code: facts.code,
        error_name: facts.name,
        ray_id: occasion.ray.to_string(),
        timestamp: timestamp(occasion),
        zone: occasion.host,
        retryable: facts.is_retryable,
        retry_after: (occasion.kind == FaultKind::Unavailable).then_some(RETRY_AFTER_SECS),
        what_you_should_do: facts.advice,
    };
    serde_json::to_string(&problem).expect("a struct of strings and numbers always serialises")
}

/// The field names of Cloudflare's own problem documents.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    instance: String,
    error_code: u16,
    error_name: &'static str,
    ray_id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    what_you_should_do: &'static str,
}

fn detail(occasion: &Occasion<'_>, facts: &Facts) -> String {
    if occasion.kind != FaultKind::UnknownHost {
        return facts.detail.to_owned();
    }
    format!("{} Workers answer at their name followed by .{}", facts.detail, occasion.base_domain)
}

fn timestamp(occasion: &Occasion<'_>) -> String {
    let seconds = i64::try_from(occasion.unix_secs).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::ACCEPT};

    use super::Format;

    #[test]
    fn the_first_media_type_that_we_have_decides() {
        let check = |accept: &'static str, expected| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Format::of(&headers), expected, "{accept}");
        };
        check("*/*", Format::Text);
        check("", Format::Text);
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html);
        check("image/png, Application/JSON;q=0.9, text/html", Format::Json);
        check("application/problem+json", Format::Problem);
        assert_eq!(Format::of(&HeaderMap::new()), Format::Text);
    }
}
