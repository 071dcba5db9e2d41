//! How long a client may fall silent while it sends a body. The time starts anew with each piece, so a slow client with a
//! large upload is served, and one that stopped does not hold its connection for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// The longest silence within a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Watches the bodies of requests.
pub(crate) async fn watch_bodies(request: Request, next: Next) -> Response {
    next.run(request.map(|body| Body::new(Watched::new(body, SILENCE_MAX)))).await
}

struct Watched {
    body: Body,
    silence_max: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Watched {
    fn new(body: Body, silence_max: Duration) -> Self {
        Self { body, silence_max, deadline: Box::pin(sleep(silence_max)) }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let deadline = Instant::now() + self.silence_max;
            self.deadline.as_mut().reset(deadline);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        std::task::ready!(self.deadline.as_mut().poll(context));
        let silent = io::Error::new(io::ErrorKind::TimedOut, "the client fell silent while it sent the body");
        Poll::Ready(Some(Err(silent.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use futures_util::stream;
    use tokio::time::Duration;

    use super::Watched;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_given_up_and_a_slow_one_is_not() {
        let slow = stream::unfold(0, |count| async move {
            tokio::time::sleep(Duration::from_secs(50)).await;
            (count < 4).then(|| (Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")), count + 1))
        });
        let silence_max = Duration::from_secs(60);
        let watched = Body::new(Watched::new(Body::from_stream(slow), silence_max));
        assert_eq!(axum::body::to_bytes(watched, 100).await.expect("it arrives whole"), "xxxx");

        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::convert::Infallible>>());
        let watched = Body::new(Watched::new(silent, silence_max));
        assert!(axum::body::to_bytes(watched, 100).await.is_err());
    }
}
