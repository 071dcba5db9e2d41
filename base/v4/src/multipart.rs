//! Multipart bodies, read part by part within limits. What the parts mean is the caller's affair.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use bytes::Bytes;
use multer::{Constraints, Field, Multipart, SizeLimit};

use crate::{ApiError, code};

/// How much a multipart body may hold.
#[derive(Debug, Clone, Copy)]
pub struct MultipartLimits {
    /// Most parts.
    pub parts_max: usize,
    /// Most bytes in one part; a part is buffered in memory.
    pub part_bytes_max: u64,
    /// Most bytes in all.
    pub total_bytes_max: u64,
    /// How long the whole body may take to arrive.
    pub read_timeout: Duration,
}

/// One part of a multipart body.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its field name.
    pub name: String,
    /// Its file name, if it was sent as a file.
    pub filename: Option<String>,
    /// Its media type as sent, parameters included.
    pub content_type: Option<String>,
    /// Its content.
    pub bytes: Bytes,
}

/// Reads all parts. Malformed input is the caller's 400, too much of it a 413.
pub async fn read_multipart(
    headers: &HeaderMap,
    body: Body,
    limits: MultipartLimits,
) -> Result<Vec<Part>, ApiError> {
    let multipart = MultipartStream::open(headers, body, limits)?;
    let Ok(parts) = tokio::time::timeout(limits.read_timeout, multipart.collect()).await else {
        let message = "the request body did not arrive in time";
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, code::BAD_REQUEST, message));
    };
    parts
}

/// A multipart body whose parts are taken as they arrive, for those that are too large to be held. How long that may take
/// is the caller's affair.
#[derive(Debug)]
pub struct MultipartStream {
    multipart: Multipart<'static>,
    parts_left: usize,
    parts_max: usize,
}

/// A part whose content is still to come.
#[derive(Debug)]
pub struct IncomingPart {
    field: Field<'static>,
    name: String,
}

impl MultipartStream {
    /// Looks at the headers; nothing of the body has been read.
    pub fn open(headers: &HeaderMap, body: Body, limits: MultipartLimits) -> Result<Self, ApiError> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|_unparsed| {
            ApiError::bad_request("expected a multipart/form-data body with a boundary in its Content-Type")
        })?;
        let sizes = SizeLimit::new().whole_stream(limits.total_bytes_max).per_field(limits.part_bytes_max);
        let constraints = Constraints::new().size_limit(sizes);
        let multipart = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
        Ok(Self { multipart, parts_left: limits.parts_max, parts_max: limits.parts_max })
    }

    /// The next part; the one before must have been taken in or dropped.
    pub async fn next(&mut self) -> Result<Option<IncomingPart>, ApiError> {
        let Some(field) = self.multipart.next_field().await.map_err(|error| refused(&error))? else {
            return Ok(None);
        };
        let Some(left) = self.parts_left.checked_sub(1) else {
            let message = format!("the body has more than {} parts", self.parts_max);
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, code::BAD_REQUEST, message));
        };
        self.parts_left = left;
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(ApiError::bad_request("malformed multipart body: a part has no name"));
        };
        Ok(Some(IncomingPart { field, name }))
    }

    async fn collect(mut self) -> Result<Vec<Part>, ApiError> {
        let mut parts = Vec::new();
        while let Some(part) = self.next().await? {
            parts.push(part.read().await?);
        }
        Ok(parts)
    }
}

impl IncomingPart {
    /// Its field name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes it in whole, within the limit for a part.
    pub async fn read(self) -> Result<Part, ApiError> {
        let Self { field, name } = self;
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let bytes = field.bytes().await.map_err(|error| refused(&error))?;
        Ok(Part { name, filename, content_type, bytes })
    }

    /// Its content, to be taken as it arrives.
    pub fn into_body(self) -> Body {
        Body::from_stream(self.field)
    }
}

fn refused(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            let message = format!("the upload is too large: {error}");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, code::BAD_REQUEST, message)
        }
        _ => ApiError::bad_request(format!("malformed multipart body: {error}")),
    }
}
