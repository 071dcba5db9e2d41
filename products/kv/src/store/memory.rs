//! How much memory values may take on their way, all callers together. Small values are not counted: they are bounded by
//! the number of connections.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Response, header::CONTENT_LENGTH},
};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore counts in these.
const UNIT_BYTES: usize = 1024;

/// A share of the memory; given back when it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    units_max: usize,
}

/// Memory that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(OwnedSemaphorePermit);

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        let units_max = bytes_max / UNIT_BYTES;
        Self { units: Arc::new(Semaphore::new(units_max)), units_max }
    }

    /// Takes memory if that much is free now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Taken> {
        Arc::clone(&self.units).try_acquire_many_owned(self.units(bytes)).ok().map(Taken)
    }

    /// Waits until that much is free, at most all there is.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        let taken = Arc::clone(&self.units).acquire_many_owned(self.units(bytes)).await;
        Taken(taken.expect("the semaphore is never closed"))
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES).min(self.units_max)).unwrap_or(u32::MAX)
    }
}

impl Taken {
    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let beyond = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT_BYTES));
        drop(self.0.split(beyond));
    }

    /// Keeps what an answer's body takes until the answer was sent.
    pub(crate) fn held_by(mut self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        if let Some(bytes) = body.size_hint().exact() {
            self.shrink_to(usize::try_from(bytes).unwrap_or(usize::MAX));
            parts.headers.insert(CONTENT_LENGTH, bytes.into());
        }
        let body = body.map_frame(move |frame| {
            let _held = &self;
            frame
        });
        Response::from_parts(parts, Body::new(body))
    }
}
