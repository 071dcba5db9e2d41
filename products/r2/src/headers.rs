//! What a reader over HTTP is told of an object, where no protocol of its own says it: the v4 routes and public hosts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use time::{
    OffsetDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc2822},
    macros::format_description,
};

use crate::model::Object;

/// What a reader is told of a body whose writer named no type.
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Describes an object. Text that cannot stand in a header is left out.
pub(crate) fn describe(object: &Object, headers: &mut HeaderMap) {
    let http = &object.http;
    let texts = [
        (header::CONTENT_TYPE, &http.content_type),
        (header::CONTENT_LANGUAGE, &http.content_language),
        (header::CONTENT_DISPOSITION, &http.content_disposition),
        (header::CONTENT_ENCODING, &http.content_encoding),
        (header::CACHE_CONTROL, &http.cache_control),
    ];
    for (name, text) in texts {
        insert(headers, name, text.as_ref().cloned());
    }
    insert(headers, header::ETAG, Some(format!("\"{}\"", object.etag)));
    insert(headers, header::LAST_MODIFIED, date(object.uploaded_ms));
    insert(headers, header::EXPIRES, http.cache_expiry.and_then(date));
}

/// Sets a header to a text, if there is one and a header can hold it.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, text: Option<String>) {
    if let Some(Ok(value)) = text.map(|text| HeaderValue::from_bytes(text.as_bytes())) {
        headers.insert(name, value);
    }
}

/// A date as HTTP writes it, in seconds since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc2822).ok().map(OffsetDateTime::unix_timestamp)
}

/// `None` for a time that HTTP has no way to write.
fn date(unix_ms: u64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(unix_ms / 1000).ok()?).ok()?;
    moment.format(HTTP_DATE).ok()
}
