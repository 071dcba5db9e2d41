//! Why a Worker gets an answer of ours instead of its origin's, in Cloudflare's numbers.

use axum::body::Body;
use hyper::{
    Response, StatusCode,
    ext::ReasonPhrase,
    header::{CONTENT_TYPE, HeaderValue},
};

/// One reason. Its text becomes the reason phrase, so `response.statusText` tells the Worker's author what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the request names no http or https host")]
    NoHost,
    #[error("Workers may not reach this address: see egress.allow")]
    Refused,
    #[error("Workers may not connect to port 25")]
    MailPort,
    #[error("host name not found")]
    NameNotFound,
    #[error("origin refused the connection")]
    ConnectionRefused,
    #[error("origin is unreachable")]
    Unreachable,
    #[error("connecting to the origin took too long")]
    ConnectTimedOut,
    #[error("TLS handshake with the origin failed")]
    Handshake,
    #[error("certificate of the origin is invalid")]
    Certificate,
    #[error("origin gave no valid answer")]
    NoAnswer,
    #[error("origin took too long to answer")]
    AnswerTimedOut,
}

impl Failure {
    /// Status and code. Cloudflare: pages "Errors and exceptions" of Workers, "Error 520" to "526", "1XXX errors".
    fn numbers(self) -> (u16, u16) {
        match self {
            Self::NoHost => (400, 400),
            Self::Refused | Self::MailPort => (403, 1021),
            Self::NameNotFound => (530, 1016),
            Self::NoAnswer => (520, 520),
            Self::ConnectionRefused => (521, 521),
            Self::ConnectTimedOut => (522, 522),
            Self::Unreachable => (523, 523),
            Self::AnswerTimedOut => (524, 524),
            Self::Handshake => (525, 525),
            Self::Certificate => (526, 526),
        }
    }

    /// What went wrong, out of an error of the HTTP client: ours if we made it, otherwise the origin's.
    pub(crate) fn from_client(error: &hyper_util::client::legacy::Error) -> Self {
        let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Self>());
        cause.copied().unwrap_or(Self::NoAnswer)
    }
}

impl From<Failure> for Response<Body> {
    fn from(failure: Failure) -> Self {
        let (status, code) = failure.numbers();
        let mut response = Self::new(Body::from(format!("error code: {code}")));
        *response.status_mut() = StatusCode::from_u16(status).expect("the table holds three-digit numbers");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        let phrase = ReasonPhrase::try_from(failure.to_string()).expect("the texts are plain ASCII");
        response.extensions_mut().insert(phrase);
        response
    }
}
