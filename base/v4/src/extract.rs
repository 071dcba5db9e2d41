//! Extractors that answer a bad request in the envelope, where axum's own answer in plain text.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{ApiError, code};

/// A JSON body. The request's `Content-Type` is not looked at: clients send JSON under `text/plain`,
/// `application/merge-patch+json` and others. The body's size is bounded by the route's `DefaultBodyLimit`.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unreadable(&error))?;
        serde_json::from_slice(&bytes).map(Json).map_err(|error| {
            ApiError::bad_request(format!("could not parse the request body as JSON: {error}"))
        })
    }
}

/// Parameters in the path, decoded.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                Err(ApiError::new(rejection.status(), code::BAD_REQUEST, rejection.body_text()))
            }
        }
    }
}

/// Parameters in the query string; unknown ones are ignored.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))
    }
}

fn unreadable(rejection: &BytesRejection) -> ApiError {
    let status = rejection.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(
            status,
            code::BAD_REQUEST,
            "the request body is larger than this route accepts",
        );
    }
    ApiError::bad_request(format!("could not read the request body: {}", rejection.body_text()))
}
