//! Which requests may be sent a second time after a process died over the first.

use http::{Method, Request};
use http_body::Body;

/// A second copy of a request that may be sent twice: GET and HEAD change nothing (RFC 9110 section 9.2.2).
pub fn copy_if_repeatable(request: &Request<impl Body>) -> Option<Request<()>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
