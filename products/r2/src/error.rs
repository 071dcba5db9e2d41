//! What R2 refuses, and what each door says of it. The texts are R2's own where user code sees them: they break the
//! house's rule on capitals and full stops on purpose.

use axum::http::StatusCode;
use store::StoreError;
use v4::ApiError;

use crate::model::LIST_MAX;

/// What can go wrong in R2.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum R2Error {
    #[error("The specified bucket name is not valid.")]
    BucketNameInvalid,
    #[error("The specified bucket does not exist.")]
    BucketMissing,
    #[error("The bucket you tried to create already exists, and you own it.")]
    BucketExists,
    #[error("The bucket you tried to delete is not empty.")]
    BucketNotEmpty,
    #[error("You have attempted to create more buckets than are allowed.")]
    BucketsTooMany,
    #[error("The specified object name is not valid.")]
    KeyInvalid,
    #[error("The specified key does not exist.")]
    KeyMissing,
    #[error("Your proposed upload exceeds the maximum allowed object size.")]
    ObjectTooLarge,
    #[error("Your proposed upload is smaller than the minimum allowed object size.")]
    PartTooSmall,
    #[error("Your metadata headers exceed the maximum allowed metadata size.")]
    MetadataTooLarge,
    #[error("The request body ended before all of it had arrived.")]
    BodyIncomplete,
    #[error(
        "The {algorithm} checksum you specified did not match what we received.\nYou provided a {algorithm} checksum with value: {given}\nActual {algorithm} was: {actual}"
    )]
    DigestWrong { algorithm: &'static str, given: String, actual: String },
    #[error("The {0} you specified is not valid.")]
    DigestInvalid(&'static str),
    #[error("MaxKeys params must be positive integer <= {LIST_MAX}.")]
    MaxKeysInvalid,
    #[error("The specified cursor is not valid: pass the cursor of the page before.")]
    CursorInvalid,
    #[error("The storage class `{0}` is not valid: use `Standard` or `InfrequentAccess`.")]
    StorageClassInvalid(String),
    #[error("The `Expires` you specified is not a date as HTTP writes it.")]
    ExpiresInvalid,
    #[error("The customer key is not valid: it must be 32 bytes.")]
    CustomerKeyInvalid,
    #[error("The object is encrypted with a customer key: pass the same key to read it.")]
    CustomerKeyWrong,
    #[error("The object is not encrypted with a customer key.")]
    CustomerKeyUseless,
    #[error("Part number must be between 1 and 10000, inclusive.")]
    PartNumberInvalid,
    #[error("The specified multipart upload does not exist.")]
    UploadMissing,
    #[error("One or more of the specified parts could not be found.")]
    PartMissing,
    #[error("There was a problem with the multipart upload.")]
    UploadBad,
    #[error("At least one of the pre-conditions you specified did not hold.")]
    PreconditionFailed,
    #[error("The requested range is not satisfiable")]
    RangeInvalid,
    #[error("You can delete a maximum of 1000 keys at once.")]
    KeysTooMany,
    #[error("Metadata missing or invalid")]
    RequestInvalid,
    #[error("The jurisdiction you specified is not valid: use `eu`, `fedramp` or none.")]
    JurisdictionInvalid,
    #[error("We could not read the object `{key}` of the bucket `{bucket}`. The server's log says why.")]
    ObjectUnreadable { bucket: String, key: String, cause: StoreError },
    #[error("The CORS configuration does not exist.")]
    CorsMissing,
    #[error("The CORS configuration is not valid: {0}.")]
    CorsInvalid(String),
    #[error("The lifecycle configuration is not valid: {0}.")]
    LifecycleInvalid(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<store::rusqlite::Error> for R2Error {
    fn from(error: store::rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a person may know of a failure below R2's own rules; the whole of it goes to the log.
fn store_failure(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "The server's disk is full."),
        StoreError::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "The server's disk is read-only."),
        StoreError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "The server is stopping."),
        StoreError::Corrupt(_) | StoreError::Newer(_) | StoreError::Sqlite(_) | StoreError::File(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "We encountered an internal error. Please try again. The server's log says why.",
        ),
    }
}

impl R2Error {
    /// The same, said of an object, if it is its bytes or its row that cannot be read.
    pub(crate) fn of_object(self, bucket: &str, key: &str) -> Self {
        match self {
            Self::Store(cause @ (StoreError::Corrupt(_) | StoreError::File(_))) => {
                Self::ObjectUnreadable { bucket: bucket.to_owned(), key: key.to_owned(), cause }
            }
            other => other,
        }
    }

    /// Status, R2's code and the text for the caller, by which all doors agree. Logs what a person must look at.
    pub(crate) fn answer(&self) -> (StatusCode, u32, String) {
        let (status, code) = self.facts();
        if let Self::Store(error) = self {
            if !matches!(error, StoreError::Closed) {
                tracing::error!(%error, "R2 could not answer");
            }
            return (status, code, store_failure(error).1.to_owned());
        }
        if let Self::ObjectUnreadable { bucket, key, cause } = self {
            tracing::error!(bucket, key, error = %cause, "An object could not be read");
        }
        (status, code, self.to_string())
    }

    /// Status and code (Cloudflare: R2 error codes).
    pub(crate) fn facts(&self) -> (StatusCode, u32) {
        match self {
            Self::Store(error @ (StoreError::ReadOnly(_) | StoreError::Closed)) => {
                (store_failure(error).0, 10_043)
            }
            Self::Store(error) => (store_failure(error).0, 10_001),
            Self::ObjectUnreadable { .. } => (StatusCode::INTERNAL_SERVER_ERROR, 10_001),
            Self::BucketNameInvalid => (StatusCode::BAD_REQUEST, 10_005),
            Self::BucketMissing => (StatusCode::NOT_FOUND, 10_006),
            Self::KeyMissing => (StatusCode::NOT_FOUND, 10_007),
            Self::BucketNotEmpty => (StatusCode::CONFLICT, 10_008),
            Self::BucketsTooMany => (StatusCode::BAD_REQUEST, 10_009),
            Self::PartTooSmall => (StatusCode::BAD_REQUEST, 10_011),
            Self::MetadataTooLarge => (StatusCode::BAD_REQUEST, 10_012),
            Self::BodyIncomplete => (StatusCode::BAD_REQUEST, 10_013),
            Self::DigestInvalid(_) => (StatusCode::BAD_REQUEST, 10_014),
            Self::KeyInvalid => (StatusCode::BAD_REQUEST, 10_020),
            Self::MaxKeysInvalid => (StatusCode::BAD_REQUEST, 10_022),
            // The reference answers 400; the code is what callers see.
            Self::UploadMissing => (StatusCode::NOT_FOUND, 10_024),
            Self::PartMissing => (StatusCode::BAD_REQUEST, 10_025),
            Self::StorageClassInvalid(_)
            | Self::CustomerKeyInvalid
            | Self::ExpiresInvalid
            | Self::CustomerKeyUseless
            | Self::PartNumberInvalid
            | Self::KeysTooMany
            | Self::CursorInvalid
            | Self::JurisdictionInvalid
            | Self::RequestInvalid => (StatusCode::BAD_REQUEST, 10_029),
            Self::CorsMissing => (StatusCode::NOT_FOUND, 10_059),
            Self::CorsInvalid(_) | Self::LifecycleInvalid(_) => (StatusCode::BAD_REQUEST, 10_040),
            Self::CustomerKeyWrong => (StatusCode::FORBIDDEN, 10_003),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, 10_031),
            Self::DigestWrong { .. } => (StatusCode::BAD_REQUEST, 10_037),
            Self::RangeInvalid => (StatusCode::RANGE_NOT_SATISFIABLE, 10_039),
            Self::UploadBad => (StatusCode::BAD_REQUEST, 10_048),
            Self::BucketExists => (StatusCode::CONFLICT, 10_004),
            Self::ObjectTooLarge => (StatusCode::BAD_REQUEST, 100_100),
        }
    }
}

impl R2Error {
    /// The word by which S3 clients know it (Cloudflare: R2 error codes).
    pub(crate) fn s3_code(&self) -> &'static str {
        match self {
            Self::BucketNameInvalid => "InvalidBucketName",
            Self::BucketMissing => "NoSuchBucket",
            Self::BucketExists => "BucketAlreadyOwnedByYou",
            Self::BucketNotEmpty => "BucketNotEmpty",
            Self::BucketsTooMany => "TooManyBuckets",
            Self::KeyInvalid => "InvalidObjectName",
            Self::KeyMissing => "NoSuchKey",
            Self::ObjectTooLarge => "EntityTooLarge",
            Self::PartTooSmall => "EntityTooSmall",
            Self::MetadataTooLarge => "MetadataTooLarge",
            Self::BodyIncomplete => "IncompleteBody",
            Self::DigestWrong { .. } => "BadDigest",
            Self::DigestInvalid(_) => "InvalidDigest",
            Self::StorageClassInvalid(_) => "InvalidStorageClass",
            Self::CustomerKeyWrong => "AccessDenied",
            Self::UploadMissing => "NoSuchUpload",
            Self::PartMissing => "InvalidPart",
            Self::UploadBad => "InvalidPart",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::RangeInvalid => "InvalidRange",
            Self::CorsMissing => "NoSuchCORSConfiguration",
            Self::CustomerKeyUseless | Self::RequestInvalid => "InvalidRequest",
            Self::CorsInvalid(_) | Self::LifecycleInvalid(_) => "MalformedXML",
            Self::MaxKeysInvalid
            | Self::CursorInvalid
            | Self::CustomerKeyInvalid
            | Self::ExpiresInvalid
            | Self::PartNumberInvalid
            | Self::JurisdictionInvalid
            | Self::KeysTooMany => "InvalidArgument",
            Self::Store(StoreError::ReadOnly(_) | StoreError::Closed) => "ServiceUnavailable",
            Self::Store(_) | Self::ObjectUnreadable { .. } => "InternalError",
        }
    }
}

impl From<R2Error> for ApiError {
    fn from(error: R2Error) -> Self {
        let (status, code, message) = error.answer();
        Self::new(status, code, message)
    }
}
