//! What answers at hosts besides Workers: public buckets.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::{Body, RequestBody};

/// Who knows the hosts that are no Worker's. Asked where no Worker answers: a zone's route comes before the bucket behind it.
pub trait Sites: Send + Sync {
    /// Whoever answers at this host (without port, in any case).
    fn find(&self, host: &str) -> Option<Site>;
}

/// Answers one request, whose headers are the client's.
pub type Site = Arc<dyn Fn(Request<RequestBody>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// No host but the Workers'.
#[derive(Debug, Clone, Copy)]
pub struct NoSites;

impl Sites for NoSites {
    fn find(&self, _host: &str) -> Option<Site> {
        None
    }
}
