//! Which headers cross the door: those of a connection never do, ours are set by us alone. It knows nothing of hosts and
//! bodies.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{ACCEPT_ENCODING, CONNECTION, COOKIE},
};
use workerd_wire::headers as wire;

use crate::{
    client::{Client, Scheme},
    ray::Ray,
    settings::Colo,
    tls::Secured,
};

/// Carries `request.cf` to the process, which takes it out again (`cfBlobHeader` of its socket).
pub const CF_BLOB: HeaderName = HeaderName::from_static(wire::CF_BLOB_HEADER);
/// Carries the scheme to the process, which takes it out again (`forwardedProtoHeader` of its socket).
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static(wire::FORWARDED_PROTO_HEADER);
/// The request's ray id, for both sides.
pub const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
/// Through how many Workers the request may still pass; only on requests that a Worker made.
pub const CF_EW_VIA: HeaderName = HeaderName::from_static("cf-ew-via");

const CF_WORKER: HeaderName = HeaderName::from_static("cf-worker");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const CF_VISITOR: HeaderName = HeaderName::from_static("cf-visitor");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is the same for every request, made ready once.
#[derive(Debug)]
pub(crate) struct Prepared {
    colo: Colo,
    /// The JSON of `request.cf` by protocol, without what one client or connection adds.
    http1_blob: HeaderValue,
    http2_blob: HeaderValue,
}

impl Prepared {
    pub(crate) fn new(colo: Colo) -> Self {
        let blob = |protocol: &str| {
            let text =
                format!(r#"{{"colo":"{}","httpProtocol":"{protocol}","requestPriority":""}}"#, colo.as_str());
            HeaderValue::try_from(text).expect("a colo is three letters")
        };
        Self { http1_blob: blob("HTTP/1.1"), http2_blob: blob("HTTP/2"), colo }
    }

    /// `CF-Ray` as clients see it.
    pub(crate) fn ray(&self, ray: Ray) -> HeaderValue {
        HeaderValue::try_from(format!("{ray}-{}", self.colo.as_str())).expect("a ray is hex digits")
    }

    /// `request.cf` as JSON.
    fn cf_blob(&self, version: Version, headers: &HeaderMap, tls: Option<&Secured>) -> HeaderValue {
        let common = if version == Version::HTTP_2 { &self.http2_blob } else { &self.http1_blob };
        let encodings = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        let encodings = encodings.filter(|text| is_json_string(text));
        if encodings.is_none() && tls.is_none() {
            return common.clone();
        }
        let mut blob = common.to_str().expect("the blob is ASCII").trim_end_matches('}').to_owned();
        if let Some(tls) = tls {
            let (version, cipher) = (tls.version, tls.cipher);
            blob.push_str(&format!(r#","tlsVersion":"{version}","tlsCipher":"{cipher}""#));
        }
        if let Some(encodings) = encodings {
            blob.push_str(&format!(r#","clientAcceptEncoding":"{encodings}""#));
        }
        blob.push('}');
        HeaderValue::try_from(blob).expect("all parts are header values")
    }

    /// Turns the client's headers into those of the request to the process. `Host` is set by the caller.
    pub(crate) fn to_process(&self, headers: &mut HeaderMap, version: Version, client: &Client, ray: Ray) {
        let blob = self.cf_blob(version, headers, client.tls.as_deref());
        // From the inside the egress has set it; a visitor's would be a forgery.
        let worker = headers.remove(CF_WORKER).filter(|_| client.is_worker);
        remove(headers, is_kept_from_process);
        if let Some(worker) = worker {
            headers.insert(CF_WORKER, worker);
        }
        if version == Version::HTTP_2 {
            join_cookies(headers);
        }
        let (scheme, visitor) = match client.scheme {
            Scheme::Http => ("http", r#"{"scheme":"http"}"#),
            Scheme::Https => ("https", r#"{"scheme":"https"}"#),
        };
        let scheme = HeaderValue::from_static(scheme);
        if let Some(forwarded_for) = forwarded_for(headers, &client.address_text) {
            headers.insert(X_FORWARDED_FOR, forwarded_for);
        }
        headers.insert(X_FORWARDED_PROTO, scheme.clone());
        headers.insert(X_REAL_IP, client.address_text.clone());
        headers.insert(CF_CONNECTING_IP, client.address_text.clone());
        headers.insert(CF_VISITOR, HeaderValue::from_static(visitor));
        headers.insert(CF_RAY, self.ray(ray));
        headers.insert(CF_BLOB, blob);
        headers.insert(FORWARDED_PROTO, scheme);
    }
}

/// Turns a process's headers into those of the answer to the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    remove(headers, is_of_connection);
}

/// Whether `Connection` names `token`.
pub(crate) fn connection_has(headers: &HeaderMap, token: &str) -> bool {
    connection_tokens(headers).any(|named| named.eq_ignore_ascii_case(token))
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Removes the headers that `is_removed` names, and those that `Connection` names (RFC 9110 section 7.6.1).
fn remove(headers: &mut HeaderMap, is_removed: fn(&str) -> bool) {
    let named = connection_tokens(headers).filter_map(|token| token.parse::<HeaderName>().ok());
    let mut doomed: Vec<HeaderName> = named.collect();
    doomed.extend(headers.keys().filter(|name| is_removed(name.as_str())).cloned());
    for name in doomed {
        headers.remove(name);
    }
}

/// Those of one connection (RFC 9110 section 7.6.1), and ours.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings"
    ) || name.starts_with("proxy-")
        || name.starts_with(wire::PREFIX)
}

/// Also what is answered here (`Expect`), and what Workers believe because Cloudflare alone says it.
fn is_kept_from_process(name: &str) -> bool {
    is_of_connection(name)
        || matches!(
            name,
            "expect"
                | "true-client-ip"
                | "x-real-ip"
                | "x-forwarded-proto"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "cf-pseudo-ipv4"
                | "cf-ray"
                | "cf-visitor"
                | "cf-ew-via"
                | "cf-ipcountry"
                | "cf-ipcity"
                | "cf-ipcontinent"
                | "cf-iplatitude"
                | "cf-iplongitude"
                | "cf-region"
                | "cf-region-code"
                | "cf-metro-code"
                | "cf-postal-code"
                | "cf-timezone"
        )
}

/// What the client said it forwards for, and the client itself. Where it said nothing there is no such header, as in
/// Workers on Cloudflare: theirs is `CF-Connecting-IP`, and each header costs workerd several microseconds.
fn forwarded_for(headers: &HeaderMap, address: &HeaderValue) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(address.as_bytes());
    Some(HeaderValue::from_bytes(&list).expect("header values joined by a comma are a header value"))
}

/// HTTP/2 clients may send one header per cookie; HTTP/1.1 wants one header (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    headers.insert(COOKIE, joined.expect("header values joined by a semicolon are a header value"));
}

/// Whether a text can stand between quotes in JSON as it is.
fn is_json_string(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}
