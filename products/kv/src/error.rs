//! What KV refuses, and what each door says of it. The texts are Cloudflare's own where user code sees them: they break
//! the house's rule on capitals and full stops on purpose.

use axum::http::StatusCode;
use store::StoreError;
use v4::ApiError;

use crate::model::{
    BULK_GET_KEYS_MAX, BULK_WRITE_KEYS_MAX, CACHE_TTL_S_MIN, EXPIRATION_TTL_S_MIN, KEY_BYTES_MAX,
    LIST_KEYS_MAX, METADATA_BYTES_MAX, NAMESPACES_MAX, TITLE_BYTES_MAX, VALUE_BYTES_MAX,
};

/// What can go wrong in KV.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KvError {
    #[error("Key names must not be empty")]
    KeyEmpty,
    #[error("Illegal key name \"{0}\". Please use a different name.")]
    KeyIllegal(String),
    #[error("UTF-8 encoded length of {bytes} exceeds key length limit of {KEY_BYTES_MAX}.")]
    KeyTooLong { bytes: usize },
    #[error("Could not URL-decode key name")]
    KeyEncoding,
    #[error("get: 'key not found'")]
    KeyMissing,
    #[error("Value length of {bytes} exceeds limit of {VALUE_BYTES_MAX}.")]
    ValueTooLong { bytes: u64 },
    #[error("malformed value: {0}")]
    ValueMalformed(String),
    #[error("the value did not arrive whole")]
    ValueIncomplete,
    #[error("Metadata length of {bytes} exceeds limit of {METADATA_BYTES_MAX}.")]
    MetadataTooLong { bytes: usize },
    #[error("Metadata must be valid JSON.")]
    MetadataInvalid,
    #[error("Invalid expiration_ttl of {0}. Please specify integer greater than 0.")]
    ExpirationTtlInvalid(String),
    #[error("Invalid expiration_ttl of {0}. Expiration TTL must be at least {EXPIRATION_TTL_S_MIN}.")]
    ExpirationTtlTooShort(String),
    #[error(
        "Invalid expiration of {0}. Please specify integer greater than the current number of seconds since the UNIX epoch."
    )]
    ExpirationInvalid(String),
    #[error(
        "Invalid expiration of {0}. Expiration times must be at least {EXPIRATION_TTL_S_MIN} seconds in the future."
    )]
    ExpirationTooSoon(String),
    #[error("Invalid cache_ttl of {0}. Cache TTL must be at least {CACHE_TTL_S_MIN}.")]
    CacheTtlInvalid(String),
    #[error("Invalid {parameter} of {given}. Please specify an integer greater than 0.")]
    LimitTooSmall { parameter: &'static str, given: String },
    #[error("Invalid {parameter} of {given}. Please specify an integer less than {LIST_KEYS_MAX}.")]
    LimitTooLarge { parameter: &'static str, given: String },
    #[error("Invalid cursor. Please pass the cursor of the previous page of the same namespace.")]
    CursorInvalid,
    #[error("\"{0}\" is not a valid type. Use \"json\" or \"text\"")]
    BulkTypeInvalid(String),
    #[error("You must request a minimum of 1 key")]
    BulkKeysNone,
    #[error("You can request a maximum of {BULK_GET_KEYS_MAX} keys")]
    BulkKeysTooMany,
    #[error("You can write or delete a maximum of {BULK_WRITE_KEYS_MAX} keys")]
    BulkWriteTooMany,
    #[error("Total size of request exceeds the limit of 25MB")]
    BulkTooLarge,
    #[error("At least one of the requested keys corresponds to a non-json value")]
    BulkValueNotJson,
    #[error("could not parse the request: {0}")]
    RequestMalformed(String),
    #[error("{0} is not a method of a KV namespace")]
    MethodUnknown(String),
    #[error("malformed namespace ID")]
    NamespaceMalformed,
    #[error("namespace not found")]
    NamespaceMissing,
    #[error("a namespace with this account ID and title already exists")]
    NamespaceExists,
    #[error("too many namespaces in this account; the limit is {NAMESPACES_MAX}")]
    NamespacesTooMany,
    #[error("missing title")]
    TitleMissing,
    #[error("title has {bytes} bytes; the limit is {TITLE_BYTES_MAX}")]
    TitleTooLong { bytes: usize },
    #[error("the value of \"{key}\" is damaged on the server's disk; the server's log says more")]
    Damaged { key: String, cause: StoreError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KvError {
    /// What lies on the disk under `key` is not what was written.
    pub(crate) fn damaged(key: &str, cause: StoreError) -> Self {
        Self::Damaged { key: key.to_owned(), cause }
    }
}

impl From<store::rusqlite::Error> for KvError {
    fn from(error: store::rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a person may know of a failure below KV's own rules; the whole of it goes to the log.
fn store_failure(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "the server's disk is full"),
        StoreError::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "the server's disk is read-only"),
        StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
        StoreError::Corrupt(_) | StoreError::Newer(_) | StoreError::Sqlite(_) | StoreError::File(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error; the server's log says why")
        }
    }
}

impl KvError {
    /// The status, by which both doors agree, and the text for the caller. Logs what a person must look at.
    pub(crate) fn answer(&self) -> (StatusCode, String) {
        if let Self::Damaged { key, cause } = self {
            tracing::error!(key, error = %cause, "A value is damaged on the disk");
        }
        if let Self::Store(error) = self {
            if !matches!(error, StoreError::Closed) {
                tracing::error!(%error, "KV could not answer");
            }
            let (status, text) = store_failure(error);
            return (status, text.to_owned());
        }
        (self.facts().0, self.to_string())
    }

    /// Status, and Cloudflare's code where one is known (Cloudflare: API reference, and what its API was seen to
    /// answer; 7400 is our word for the rest).
    fn facts(&self) -> (StatusCode, u32) {
        match self {
            Self::KeyMissing => (StatusCode::NOT_FOUND, 10_009),
            Self::NamespaceMalformed => (StatusCode::BAD_REQUEST, 10_011),
            Self::ValueMalformed(_) | Self::ValueIncomplete => (StatusCode::BAD_REQUEST, 10_012),
            Self::NamespaceMissing => (StatusCode::NOT_FOUND, 10_013),
            Self::NamespaceExists => (StatusCode::BAD_REQUEST, 10_014),
            Self::NamespacesTooMany => (StatusCode::FORBIDDEN, 10_018),
            Self::TitleMissing => (StatusCode::BAD_REQUEST, 10_019),
            Self::ValueTooLong { .. } | Self::MetadataTooLong { .. } | Self::BulkTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, 10_024)
            }
            Self::LimitTooSmall { .. } | Self::LimitTooLarge { .. } => (StatusCode::BAD_REQUEST, 10_028),
            Self::ExpirationTtlInvalid(_)
            | Self::ExpirationTtlTooShort(_)
            | Self::ExpirationInvalid(_)
            | Self::ExpirationTooSoon(_) => (StatusCode::BAD_REQUEST, 10_033),
            Self::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, v4::code::BAD_REQUEST),
            Self::KeyEmpty
            | Self::KeyIllegal(_)
            | Self::KeyEncoding
            | Self::MetadataInvalid
            | Self::CacheTtlInvalid(_)
            | Self::CursorInvalid
            | Self::BulkTypeInvalid(_)
            | Self::BulkKeysNone
            | Self::BulkKeysTooMany
            | Self::BulkWriteTooMany
            | Self::BulkValueNotJson
            | Self::RequestMalformed(_)
            | Self::TitleTooLong { .. } => (StatusCode::BAD_REQUEST, v4::code::BAD_REQUEST),
            Self::MethodUnknown(_) => (StatusCode::METHOD_NOT_ALLOWED, v4::code::WRONG_METHOD),
            Self::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, v4::code::INTERNAL),
            Self::Store(error) => (store_failure(error).0, v4::code::INTERNAL),
        }
    }
}

impl From<KvError> for ApiError {
    fn from(error: KvError) -> Self {
        let (_, code) = error.facts();
        let (status, message) = error.answer();
        Self::new(status, code, message)
    }
}
