//! Paths: what answers when nothing does, and segments as they were sent.

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode, Uri},
};

use crate::{ApiError, code};

/// Answers a path that no route knows.
pub async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    let path = uri.path();
    let message = format!(
        "Could not route to {path}, perhaps your object identifier is invalid, or this version of Skerry does not have it yet?"
    );
    ApiError::new(StatusCode::NOT_FOUND, code::NO_ROUTE, message)
}

/// Answers a known path under a method it does not have.
pub async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let message = format!("Method {method} is not available for {}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, message)
}

/// The path's segments as sent, before any decoding: for names in which `%2F` is not a border.
pub fn raw_segments(uri: &Uri) -> impl DoubleEndedIterator<Item = &str> {
    uri.path().trim_start_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use super::raw_segments;

    #[test]
    fn raw_segments_keep_their_encoding() {
        let uri = "/namespaces/ns/values/a%2Fb%20c?x=/y".parse().unwrap();
        assert_eq!(raw_segments(&uri).next_back(), Some("a%2Fb%20c"));
    }
}
