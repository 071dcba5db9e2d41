//! `/cdn-cgi/`: paths that the platform answers itself, so that no Worker sees them and none is taken for the platform.

use std::fmt::Write;

use http::{
    HeaderValue, Request, Response, Version,
    header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT},
};

use crate::{
    Body, Client, Ingress, Scheme,
    fault::{Fault, FaultKind},
    host::Host,
};

/// What Cloudflare shows of a visitor's own request.
const TRACE_PATH: &str = "/cdn-cgi/trace";

/// Answers `/cdn-cgi/trace`, and nothing else.
pub(crate) fn answer(
    ingress: &Ingress,
    client: &Client,

    host: &Host,
    request: &Request<crate::Inbound>,
) -> Result<Response<Body>, Fault> {
    if request.uri().path() != TRACE_PATH {
        return Err(Fault::new(FaultKind::ReservedPath, "a path of the platform"));
    }
    let unix_ms = ingress.0.clock.unix_ms();
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let user_agent = request.headers().get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    let scheme = match client.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let protocol = if request.version() == Version::HTTP_2 { "http/2" } else { "http/1.1" };
    let tls = client.tls.as_ref().map_or("off", |tls| tls.version);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "h={}\nip={}\nts={seconds}.{millis:03}\nvisit_scheme={scheme}\nuag={}\ncolo={}\nhttp={protocol}\ntls={tls}\n",
        host.name(),
        client.address,
        String::from_utf8_lossy(user_agent),
        ingress.0.settings.colo.as_str(),
    );
    let mut response = Response::new(Body::text(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
