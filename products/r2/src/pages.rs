//! Web pages that ask: what a bucket's CORS rules let them, at the S3 door and at public hosts.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response, header},
};
use model::BucketName;

use crate::{
    R2Error,
    model::Cors,
    store::{Setting, Store},
};

/// A request that a web page makes, and the rules of the bucket that it is about.
pub(crate) struct Page {
    cors: Cors,
    method: Method,
    headers: HeaderMap,
}

impl Page {
    /// `None` where no page asks.
    pub(crate) fn of(
        method: &Method,
        headers: &HeaderMap,
        store: &Store,
        bucket: impl FnOnce() -> Result<BucketName, R2Error>,
    ) -> Result<Option<Self>, R2Error> {
        if !headers.contains_key(header::ORIGIN) {
            return Ok(None);
        }
        // A bucket that is not there has no rules; the request itself is told so.
        let cors = match bucket().and_then(|bucket| store.setting(&bucket, Setting::Cors)) {
            Ok(cors) => cors.unwrap_or_default(),
            Err(error @ R2Error::Store(_)) => return Err(error),
            Err(_) => Cors::default(),
        };
        Ok(Some(Self { cors, method: method.clone(), headers: headers.clone() }))
    }

    /// The answer to a browser that asks beforehand; `None` if this is the request itself.
    pub(crate) fn preflight(&self) -> Option<Response<Body>> {
        let (status, headers) =
            (self.method == Method::OPTIONS).then(|| self.cors.preflight(&self.headers))??;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Some(response)
    }

    /// Lets the page read an answer, if the rules do.
    pub(crate) fn allow(&self, response: &mut Response<Body>) {
        self.cors.allow(&self.method, &self.headers, response.headers_mut());
    }
}
