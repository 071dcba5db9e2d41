//! Paths: what answers when nothing does, and segments as they were sent.

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode, Uri},
};

use crate::{ApiError, code};

/// Products of Cloudflare whose routes begin with these segments after the account, and which are not here yet.
const PRODUCTS_TO_COME: [(&str, &str); 12] = [
    ("queues", "Queues"),
    ("d1", "D1"),
    ("pages", "Pages"),
    ("workflows", "Workflows"),
    ("hyperdrive", "Hyperdrive"),
    ("vectorize", "Vectorize"),
    ("secrets_store", "Secrets Store"),
    ("ai", "Workers AI"),
    ("pipelines", "Pipelines"),
    ("mtls_certificates", "mTLS certificates"),
    ("containers", "Containers"),
    ("email", "Email Routing"),
];

/// Answers a path that no route knows.
pub async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    let path = uri.path();
    let product = path.split_once("/accounts/").and_then(|(_, rest)| rest.split('/').nth(1));
    if let Some((_, name)) = PRODUCTS_TO_COME.iter().find(|(segment, _)| Some(*segment) == product) {
        let message = format!("{name} is not supported by this version of Skerry yet");
        return ApiError::new(StatusCode::BAD_REQUEST, code::UNSUPPORTED, message);
    }
    let message = format!("Could not route to {path}, perhaps your object identifier is invalid?");
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
