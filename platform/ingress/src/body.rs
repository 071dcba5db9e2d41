//! Bodies in both directions: streams that are passed on frame by frame, with what must be noticed on the way (size, a
//! broken end) and nothing buffered.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use engine::ProcessBody;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

use crate::{activity::InFlight, ray::Ray};

/// The body of a request as it comes in.
#[derive(Debug)]
pub enum Inbound {
    /// From a client's connection.
    Client(Incoming),
    /// From a Worker of ours, or back from the engine.
    Inside(UnsyncBoxBody<Bytes, BoxError>),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request on its way to a process.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` for a request that is repeated: only requests without a body are.
    incoming: Option<Inbound>,
    bytes_left: u64,
    end: BodyEnd,
}

/// Why a request's body ended before its end, seen from the side that sent it.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyEnd(Option<Arc<AtomicU8>>);

/// The body of a request cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// It has more bytes than the door accepts.
    #[error("the request's body is too large")]
    TooLarge,
    /// The client went away, or sent what is not HTTP.
    #[error("the client's request broke off")]
    Client(#[source] BoxError),
}

const BROKE_OFF: u8 = 1;
const TOO_LARGE: u8 = 2;

impl RequestBody {
    pub(crate) fn new(incoming: Inbound, bytes_max: u64) -> Self {
        let has_more = !incoming.is_end_stream();
        let end = BodyEnd(has_more.then(Arc::default));
        Self { incoming: Some(incoming), bytes_left: bytes_max, end }
    }

    pub(crate) fn empty() -> Self {
        Self { incoming: None, bytes_left: 0, end: BodyEnd(None) }
    }

    /// A body that the engine gave back; what is counted and noted of it still is, inside.
    pub(crate) fn unsent(body: engine::RequestBody) -> Self {
        Self { incoming: Some(Inbound::Inside(body)), bytes_left: u64::MAX, end: BodyEnd(None) }
    }

    /// Tells afterwards whether the client was the reason for a failure.
    pub(crate) fn end(&self) -> BodyEnd {
        self.end.clone()
    }
}

impl BodyEnd {
    pub(crate) fn is_too_large(&self) -> bool {
        self.state() == TOO_LARGE
    }

    pub(crate) fn is_broken_off(&self) -> bool {
        self.state() == BROKE_OFF
    }

    fn state(&self) -> u8 {
        self.0.as_ref().map_or(0, |state| state.load(Ordering::Relaxed))
    }

    fn note(&self, reason: u8) {
        if let Some(state) = &self.0 {
            state.store(reason, Ordering::Relaxed);
        }
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Client(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
            Self::Inside(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Inside(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Inside(body) => body.size_hint(),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let Some(result) = ready!(Pin::new(incoming).poll_frame(context)) else { return Poll::Ready(None) };
        let frame = match result {
            Ok(frame) => frame,
            Err(error) => {
                self.end.note(BROKE_OFF);
                return Poll::Ready(Some(Err(RequestBodyError::Client(error))));
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        let Some(bytes_left) = self.bytes_left.checked_sub(bytes) else {
            self.end.note(TOO_LARGE);
            return Poll::Ready(Some(Err(RequestBodyError::TooLarge)));
        };
        self.bytes_left = bytes_left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// The body of an answer on its way to the client.
#[derive(Debug)]
pub struct Body {
    source: Source,
    ray: Option<Ray>,
    /// Tells the connection, when dropped, that the request is over.
    in_flight: Option<InFlight>,
}

enum Source {
    Process(ProcessBody),
    Text(Full<Bytes>),
    Other(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Nothing, or a text that we wrote ourselves.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::from_source(Source::Text(Full::new(text.into())))
    }

    /// What a Worker's process says.
    #[must_use]
    pub fn process(body: ProcessBody) -> Self {
        Self::from_source(Source::Process(body))
    }

    /// What anybody else says.
    pub fn other(body: impl HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        Self::from_source(Source::Other(body.map_err(Into::into).boxed_unsync()))
    }

    fn from_source(source: Source) -> Self {
        Self { source, ray: None, in_flight: None }
    }

    pub(crate) fn with_ray(mut self, ray: Ray) -> Self {
        self.ray = Some(ray);
        self
    }

    pub(crate) fn until_done(mut self, in_flight: InFlight) -> Self {
        self.in_flight = Some(in_flight);
        self
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Process(_) => "Process",
            Self::Text(_) => "Text",
            Self::Other(_) => "Other",
        })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.source {
            Source::Process(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Source::Text(body) => {
                Pin::new(body).poll_frame(context).map_err(|never: Infallible| match never {})
            }
            Source::Other(body) => Pin::new(body).poll_frame(context),
        };
        let Poll::Ready(Some(Err(error))) = &polled else { return polled };
        // The client sees a broken answer; there is no page to give it any more.
        match (self.ray.take(), &self.source) {
            (Some(ray), Source::Process(_)) => tracing::warn!(%ray, %error, "A Worker's answer broke off"),
            (Some(ray), _) => tracing::warn!(%ray, %error, "An answer broke off"),
            (None, _) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Process(body) => body.is_end_stream(),
            Source::Text(body) => body.is_end_stream(),
            Source::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Process(body) => body.size_hint(),
            Source::Text(body) => body.size_hint(),
            Source::Other(body) => body.size_hint(),
        }
    }
}
