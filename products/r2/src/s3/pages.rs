//! Web pages that ask: what the bucket's CORS rules let them.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, Response, header},
};
use s3s::host::S3Host as _;

use super::request::{self, Hosts};
use crate::{
    R2Error,
    model::Cors,
    store::{Setting, Store},
};

/// A request that a web page makes, and the rules of the bucket that it is about.
pub(super) struct Page {
    cors: Cors,
    method: Method,
    headers: HeaderMap,
}

impl Page {
    /// `None` where no page asks.
    pub(super) fn of(request: &Request, store: &Store, hosts: &Hosts) -> Result<Option<Self>, R2Error> {
        let headers = request.headers();
        if !headers.contains_key(header::ORIGIN) {
            return Ok(None);
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let named = hosts.parse_host_header(host).ok().and_then(|host| host.bucket().map(str::to_owned));
        let first = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let bucket = named.as_deref().unwrap_or(first);
        // A bucket that is not there has no rules; the operation itself says so.
        let cors = match request::bucket(bucket).and_then(|bucket| store.setting(&bucket, Setting::Cors)) {
            Ok(cors) => cors.unwrap_or_default(),
            Err(error @ R2Error::Store(_)) => return Err(error),
            Err(_) => Cors::default(),
        };
        Ok(Some(Self { cors, method: request.method().clone(), headers: headers.clone() }))
    }

    /// The answer to a browser that asks beforehand; `None` if this is the request itself.
    pub(super) fn preflight(&self) -> Option<Response<Body>> {
        let (status, headers) =
            (self.method == Method::OPTIONS).then(|| self.cors.preflight(&self.headers))??;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Some(response)
    }

    /// Lets the page read an answer, if the rules do.
    pub(super) fn allow(&self, response: &mut Response<Body>) {
        self.cors.allow(&self.method, &self.headers, response.headers_mut());
    }
}
