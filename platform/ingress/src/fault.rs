//! Why a request was not answered by a Worker: each kind with its status, its code and its words, in one table. How it
//! looks to a client is in `page`.

use std::borrow::Cow;

use http::StatusCode;

/// A request that no Worker answered.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct Fault {
    /// What the client is told.
    pub(crate) kind: FaultKind,
    /// What only the log is told.
    pub(crate) cause: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into() }
    }

    pub(crate) fn bad_request(cause: &'static str) -> Self {
        Self::new(FaultKind::BadRequest, cause)
    }
}

/// The kinds of failure that clients can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Not HTTP as we accept it: two hosts, an unknown transfer coding …
    BadRequest,
    /// A method that is never for a Worker.
    MethodRefused,
    /// The path and query are too long.
    UriTooLong,
    /// The request's body is too large.
    BodyTooLarge,
    /// The client ended its request before its end.
    ClientGone,
    /// The connection was opened for another host, with a certificate that is not for this one.
    Misdirected,
    /// A path that the platform keeps for itself.
    ReservedPath,
    /// No Worker has this host.
    UnknownHost,
    /// The Worker exists and has no deployment.
    NotDeployed,
    /// The Worker threw, or will never answer.
    Threw,
    /// The Worker cannot start.
    Rejected,
    /// The request went through too many Workers.
    LoopLimit,
    /// The process ended before it answered.
    Lost,
    /// There is no engine to run the Worker.
    Unavailable,
}

/// What is known of a kind.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) status: StatusCode,
    /// Cloudflare's code where it has one, else the status.
    pub(crate) code: u16,
    /// For programs and metrics.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: &'static str,
    /// What to do.
    pub(crate) advice: &'static str,
    pub(crate) level: tracing::Level,
    pub(crate) is_retryable: bool,
}

const VISITOR_ADVICE: &str =
    "If this is your Worker, search the server's log for the ray id below: it finds the reason.";
const CLIENT_ADVICE: &str = "Change the request; sending the same one again will not help.";

impl FaultKind {
    /// All kinds, each at the place that its index says.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::MethodRefused,
        Self::UriTooLong,
        Self::BodyTooLarge,
        Self::ClientGone,
        Self::Misdirected,
        Self::ReservedPath,
        Self::UnknownHost,
        Self::NotDeployed,
        Self::Threw,
        Self::Rejected,
        Self::LoopLimit,
        Self::Lost,
        Self::Unavailable,
    ];

    /// Its place in [`FaultKind::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Cloudflare's code where it has one, else the status.
    #[must_use]
    pub fn code(self) -> u16 {
        self.facts().code
    }

    /// For programs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether the connection cannot be trusted to be at the start of a request afterwards.
    pub(crate) fn closes_connection(self) -> bool {
        match self {
            Self::BadRequest
            | Self::MethodRefused
            | Self::UriTooLong
            | Self::BodyTooLarge
            | Self::ClientGone => true,
            Self::Misdirected
            | Self::ReservedPath
            | Self::UnknownHost
            | Self::NotDeployed
            | Self::Threw
            | Self::Rejected
            | Self::LoopLimit
            | Self::Lost
            | Self::Unavailable => false,
        }
    }

    pub(crate) fn facts(self) -> &'static Facts {
        match self {
            Self::BadRequest => &BAD_REQUEST,
            Self::MethodRefused => &METHOD_REFUSED,
            Self::UriTooLong => &URI_TOO_LONG,
            Self::BodyTooLarge => &BODY_TOO_LARGE,
            Self::ClientGone => &CLIENT_GONE,
            Self::Misdirected => &MISDIRECTED,
            Self::ReservedPath => &RESERVED_PATH,
            Self::UnknownHost => &UNKNOWN_HOST,
            Self::NotDeployed => &NOT_DEPLOYED,
            Self::Threw => &THREW,
            Self::Rejected => &REJECTED,
            Self::LoopLimit => &LOOP_LIMIT,
            Self::Lost => &LOST,
            Self::Unavailable => &UNAVAILABLE,
        }
    }
}

static BAD_REQUEST: Facts = Facts {
    status: StatusCode::BAD_REQUEST,
    code: 400,
    name: "bad_request",
    title: "Bad request",
    detail: "The request is not HTTP as this server accepts it, so it was not passed to a Worker.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static METHOD_REFUSED: Facts = Facts {
    status: StatusCode::METHOD_NOT_ALLOWED,
    code: 405,
    name: "method_not_allowed",
    title: "Method not allowed",
    detail: "CONNECT and TRACE are never passed to a Worker.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static URI_TOO_LONG: Facts = Facts {
    status: StatusCode::URI_TOO_LONG,
    code: 414,
    name: "uri_too_long",
    title: "Address too long",
    detail: "The path and query of a request may have 16 KiB.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static BODY_TOO_LARGE: Facts = Facts {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    code: 413,
    name: "payload_too_large",
    title: "Request body too large",
    detail: "The body of the request is larger than this server accepts.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static CLIENT_GONE: Facts = Facts {
    status: StatusCode::BAD_REQUEST,
    code: 400,
    name: "incomplete_request",
    title: "Incomplete request",
    detail: "The body of the request broke off or was not encoded as HTTP requires.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static MISDIRECTED: Facts = Facts {
    status: StatusCode::MISDIRECTED_REQUEST,
    code: 421,
    name: "misdirected_request",
    title: "Misdirected request",
    detail: "The connection was opened for another host, and its certificate is not for this one.",
    advice: "Send the request again on a connection of its own, which names its host in the TLS handshake.",
    level: tracing::Level::DEBUG,
    is_retryable: true,
};

static RESERVED_PATH: Facts = Facts {
    status: StatusCode::NOT_FOUND,
    code: 404,
    name: "reserved_path",
    title: "Nothing here",
    detail: "Paths below /cdn-cgi/ belong to the platform and are not passed to a Worker.",
    advice: CLIENT_ADVICE,
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static UNKNOWN_HOST: Facts = Facts {
    status: StatusCode::NOT_FOUND,
    code: 1042,
    name: "unknown_host",
    title: "There is nothing here yet",
    detail: "No Worker answers at this host.",
    advice: "If you deployed one, `skerry urls` lists where each Worker answers.",
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static NOT_DEPLOYED: Facts = Facts {
    status: StatusCode::NOT_FOUND,
    code: 1042,
    name: "not_deployed",
    title: "Not deployed yet",
    detail: "The Worker of this host exists, but none of its versions is deployed.",
    advice: "If this is your Worker, `wrangler deploy` or `wrangler versions deploy` puts a version in force.",
    level: tracing::Level::DEBUG,
    is_retryable: false,
};

static THREW: Facts = Facts {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: 1101,
    name: "worker_threw_exception",
    title: "Worker threw exception",
    detail: "The Worker of this host threw an exception, or would never have answered.",
    advice: VISITOR_ADVICE,
    level: tracing::Level::WARN,
    is_retryable: false,
};

static REJECTED: Facts = Facts {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: 1101,
    name: "worker_start_failed",
    title: "Worker could not start",
    detail: "The Worker of this host failed before it could take a request.",
    advice: VISITOR_ADVICE,
    level: tracing::Level::WARN,
    is_retryable: false,
};

static LOOP_LIMIT: Facts = Facts {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: 1019,
    name: "worker_loop_limit",
    title: "Worker hit loop limit",
    detail: "The request passed through too many Workers, or too often through one.",
    advice: VISITOR_ADVICE,
    level: tracing::Level::WARN,
    is_retryable: false,
};

static LOST: Facts = Facts {
    status: StatusCode::BAD_GATEWAY,
    code: 1105,
    name: "worker_ended",
    title: "Worker ended without an answer",
    detail: "The process of this Worker ended, or gave up the request, before it began an answer.",
    advice: VISITOR_ADVICE,
    level: tracing::Level::WARN,
    is_retryable: true,
};

static UNAVAILABLE: Facts = Facts {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: 1022,
    name: "worker_unavailable",
    title: "Worker unavailable",
    detail: "The Worker of this host cannot be run at the moment.",
    advice: "Try again in a few seconds. If this is your server, `skerry doctor` says what is missing.",
    level: tracing::Level::ERROR,
    is_retryable: true,
};

#[cfg(test)]
mod tests {
    use super::FaultKind;

    #[test]
    fn every_kind_is_listed_at_its_own_index() {
        for (index, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index, "{kind:?}");
        }
    }
}
