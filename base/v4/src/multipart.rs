//! Multipart bodies, read part by part within limits. What the parts mean is the caller's affair.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use bytes::Bytes;
use multer::{Constraints, Multipart, SizeLimit};

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
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(|_| {
        ApiError::bad_request("expected a multipart/form-data body with a boundary in its Content-Type")
    })?;
    let sizes = SizeLimit::new().whole_stream(limits.total_bytes_max).per_field(limits.part_bytes_max);
    let constraints = Constraints::new().size_limit(sizes);
    let multipart = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let reading = read_parts(multipart, limits.parts_max);
    let Ok(parts) = tokio::time::timeout(limits.read_timeout, reading).await else {
        let message = "the request body did not arrive in time";
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, code::BAD_REQUEST, message));
    };
    parts
}

async fn read_parts(mut multipart: Multipart<'_>, parts_max: usize) -> Result<Vec<Part>, ApiError> {
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(|error| refused(&error))? {
        if parts.len() == parts_max {
            let message = format!("the body has more than {parts_max} parts");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, code::BAD_REQUEST, message));
        }
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(ApiError::bad_request("malformed multipart body: a part has no name"));
        };
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let bytes = field.bytes().await.map_err(|error| refused(&error))?;
        parts.push(Part { name, filename, content_type, bytes });
    }
    Ok(parts)
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
