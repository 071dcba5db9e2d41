//! What is refused or fails, and how the REST door says it.

use axum::http::StatusCode;
use store::rusqlite;
use v4::{ApiError, code};

/// Cloudflare has no code for this: it has no such question.
const OBJECT_MISSING: u32 = 10_066;

/// Why there is no answer about an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectsError {
    /// No namespace has this id.
    #[error("Durable Object namespace '{0}' not found.")]
    NamespaceMissing(String),
    /// Nothing is stored for this object.
    #[error("Durable Object '{0}' has no stored data in this namespace.")]
    ObjectMissing(String),
    /// The request cannot be meant so.
    #[error("{0}")]
    Invalid(String),
    /// An archive cannot be restored.
    #[error("the archive cannot be restored: {0}")]
    Archive(String),
    /// SQLite refused the query.
    #[error("query: {0}")]
    Query(String),
    /// The files cannot be read or written.
    #[error("the objects' files: {0}")]
    Unreadable(String),
    /// The register cannot say which namespaces there are.
    #[error("{0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for ObjectsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<ObjectsError> for ApiError {
    fn from(error: ObjectsError) -> Self {
        use ObjectsError as E;
        let (status, code) = match &error {
            E::NamespaceMissing(_) => (StatusCode::NOT_FOUND, 10_066),
            E::ObjectMissing(_) => (StatusCode::NOT_FOUND, OBJECT_MISSING),
            E::Invalid(_) | E::Query(_) | E::Archive(_) => (StatusCode::BAD_REQUEST, code::BAD_REQUEST),
            E::Unreadable(_) | E::Unavailable(_) => return Self::internal(&error),
        };
        Self::new(status, code, error.to_string())
    }
}
