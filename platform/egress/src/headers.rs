//! Which headers cross from a Worker to an origin and back. It never looks at what they say to each other.

use hyper::{
    HeaderMap,
    header::{
        CONNECTION, EXPECT, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use workerd_wire::headers::PREFIX;

/// Names the Worker that sent a subrequest (Cloudflare: Headers page of Workers).
pub(crate) const CF_WORKER: HeaderName = HeaderName::from_static("cf-worker");

/// Headers that concern one connection alone (RFC 9110, section 7.6.1). hyper frames each message anew.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    UPGRADE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
];

/// Leaves only what is meant for the other end. A WebSocket handshake keeps `Connection` and `Upgrade`.
pub(crate) fn strip(headers: &mut HeaderMap, is_websocket: bool) {
    for name in connection_options(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    // hyper answers `Expect: 100-continue` on our side, and sends the body without waiting on the other.
    headers.remove(EXPECT);
    // Said between workerd and us; the subrequest's `cf` object is among them.
    let internal: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
    if is_websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Whether the sender asks to change to the WebSocket protocol, the only one we change to.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The headers that `Connection` names. Those a message cannot be understood without stay, whatever it says.
fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let kept = ["host", "content-length"];
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !kept.contains(&name.as_str()))
        .collect()
}
