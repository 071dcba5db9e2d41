//! Door 4: buckets that anybody may read over the public door, each at a host of its own.

mod hosts;

pub(crate) use hosts::PublicHosts;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request},
};
use model::{BucketName, BucketPlace};
use percent_encoding::percent_decode_str;
use s3s::dto::Range as WireRange;

use crate::{
    R2Error,
    headers::{DEFAULT_CONTENT_TYPE, describe, insert, parse_date},
    model::{Conditions, Etag, EtagMatch, Key, Object, Span},
    pages::Page,
    s3,
    store::{Found, Get, Store},
};

const NOT_FOUND: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Not found</title>
<body><h1>Object not found</h1><p>This object does not exist or cannot be read here.</p></body></html>
";

/// Answers a reader.
pub(crate) async fn answer(store: &Store, public: &BucketPlace, head: request::Parts) -> Response<Body> {
    let bucket = match store.bucket_find(&public.name) {
        Ok(bucket) if bucket.id == public.id => bucket.name,
        Ok(_) => return refuse(&R2Error::BucketMissing),
        Err(error) => return refuse(&error),
    };
    let page = match Page::of(&head.method, &head.headers, store, || Ok(bucket.clone())) {
        Ok(page) => page,
        Err(error) => return refuse(&error),
    };
    if let Some(answer) = page.as_ref().and_then(Page::preflight) {
        return answer;
    }
    let mut response = match head.method {
        Method::GET | Method::HEAD => {
            read(store, &bucket, &head).await.unwrap_or_else(|error| refuse(&error))
        }
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Public buckets can only be read.\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            response
        }
    };
    if let Some(page) = page {
        page.allow(&mut response);
    }
    response
}

async fn read(store: &Store, bucket: &BucketName, head: &request::Parts) -> Result<Response<Body>, R2Error> {
    let path = head.uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let key = Key::parse(percent_decode_str(path).decode_utf8().map_err(|_utf8| R2Error::KeyInvalid)?)?;
    let conditions = conditions(&head.headers);
    // A range is only meant for GET (RFC 9110 section 14.2).
    let wanted = wanted_range(&head.headers).filter(|_| head.method == Method::GET).map(s3::range);
    // Whether the range may be used is known with the object.
    let get = Get { conditions: conditions.clone(), range: None, customer_key: None };
    let Found { object, body } = store.get(bucket, &key, get)?;
    let mut response = Response::new(Body::empty());
    describe(&object, response.headers_mut());
    let Some((body, _)) = body else {
        let is_unchanged = conditions.mean_not_modified(&object);
        *response.status_mut() =
            if is_unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::PRECONDITION_FAILED };
        return Ok(response);
    };
    let wanted = wanted.filter(|_| is_same(&head.headers, &object));
    let span = match &wanted {
        None => Span::whole(object.size),
        Some(range) => match range.resolve(object.size) {
            Ok(span) => span,
            Err(error) => {
                let mut refused = refuse(&error);
                let none = format!("bytes */{}", object.size);
                insert(refused.headers_mut(), header::CONTENT_RANGE, Some(none));
                return Ok(refused);
            }
        },
    };
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, span.length().into());
    if wanted.is_some() {
        insert(headers, header::CONTENT_RANGE, Some(span.content_range(object.size)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if head.method == Method::GET {
        *response.body_mut() = body.narrowed(span).into_body().await?;
    }
    Ok(response)
}

/// A range that can be understood; any other is passed over (RFC 9110 section 14.2).
fn wanted_range(headers: &HeaderMap) -> Option<WireRange> {
    WireRange::parse(headers.get(header::RANGE)?.to_str().ok()?).ok()
}

/// Whether the object is still the one of which the reader has a part (RFC 9110 section 13.1.5).
fn is_same(headers: &HeaderMap, object: &Object) -> bool {
    let Some(seen) = headers.get(header::IF_RANGE) else { return true };
    let seen = seen.to_str().unwrap_or_default();
    match parse_date(seen) {
        Some(seconds) => seconds == i64::try_from(object.uploaded_ms / 1000).unwrap_or(i64::MAX),
        None => seen == format!("\"{}\"", object.etag),
    }
}

fn conditions(headers: &HeaderMap) -> Conditions {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Conditions::of_http(
        text(header::IF_MATCH).map(etags),
        text(header::IF_NONE_MATCH).map(etags),
        text(header::IF_UNMODIFIED_SINCE).and_then(parse_date),
        text(header::IF_MODIFIED_SINCE).and_then(parse_date),
    )
}

fn etags(list: &str) -> Vec<Etag> {
    let etag = |text: &str| match text.trim() {
        "*" => Etag { value: String::new(), kind: EtagMatch::Wildcard },
        text => {
            let (kind, quoted) = match text.strip_prefix("W/") {
                Some(quoted) => (EtagMatch::Weak, quoted),
                None => (EtagMatch::Strong, text),
            };
            Etag { value: quoted.trim_matches('"').to_owned(), kind }
        }
    };
    list.split(',').map(etag).collect()
}

/// Readers learn whether there is such an object, and no more.
fn refuse(error: &R2Error) -> Response<Body> {
    let (status, _, message) = error.answer();
    match error {
        R2Error::KeyMissing | R2Error::KeyInvalid | R2Error::BucketMissing | R2Error::CustomerKeyWrong => {
            let mut response = text(StatusCode::NOT_FOUND, NOT_FOUND);
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
            response
        }
        _ => text(status, format!("{message}\n")),
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
