//! What can go wrong on the way to a certificate: what failed, and what to do.

use std::path::PathBuf;

use ingress::{CertificateError, ProofError};
use instant_acme::Problem;
use store::StoreError;

use crate::Challenge;

/// The beginning of every error type (RFC 8555 section 6.7).
const TYPES: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// No answer.
    #[error(
        "{0}: check `directory` and `ca_file` under [tls.acme], and that this machine may reach the server"
    )]
    Unreachable(String),
    /// An answer that makes no sense.
    #[error("the ACME server's answer cannot be used ({0}): check `directory` under [tls.acme]")]
    Nonsense(String),
    /// A refusal.
    #[error("the ACME server refused: {detail} ({kind})")]
    Refused {
        /// The error's type, without its common beginning.
        kind: String,
        /// The server's words.
        detail: String,
    },
    /// The server could not see that the host is ours.
    #[error("the ACME server could not validate the host by {}: {detail}; {}", challenge.name(), challenge.advice())]
    Unproven {
        /// How it tried.
        challenge: Challenge,
        /// The server's words.
        detail: String,
    },
    /// The server does not validate in the configured way.
    #[error("the ACME server offers {offered} and not {}: set `challenge` under [tls.acme]", wanted.name())]
    NotOffered {
        /// What is configured.
        wanted: Challenge,
        /// What would do.
        offered: String,
    },
    /// It took too long.
    #[error("the ACME server did not decide in time")]
    Slow,
    /// A file of the operator's cannot be used.
    #[error("`{0}`: {1}")]
    File(PathBuf, String),
    /// Our own files cannot be used.
    #[error(transparent)]
    Disk(#[from] StoreError),
    /// What was issued cannot be served.
    #[error("the certificate that was issued cannot be served: {0}")]
    Unfit(#[from] CertificateError),
    /// No key or request can be made.
    #[error("make a key and a request for the host: {0}")]
    Request(String),
    /// No proof can be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl AcmeError {
    /// Whether the server no longer knows our account.
    pub(crate) fn is_account_lost(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }

    /// Whether the server took none of the nonces that it gave out itself, as it may (RFC 8555 section 6.5).
    pub(crate) fn is_about_nonces(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "badNonce")
    }

    /// Whether a limit of the server's is reached.
    pub(crate) fn is_rate_limited(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "rateLimited")
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => refusal(problem),
            instant_acme::Error::Timeout(_) => Self::Slow,
            instant_acme::Error::Other(cause) => Self::Unreachable(cause.to_string()),
            other => Self::Nonsense(other.to_string()),
        }
    }
}

impl From<rcgen::Error> for AcmeError {
    fn from(error: rcgen::Error) -> Self {
        Self::Request(error.to_string())
    }
}

fn refusal(problem: Problem) -> AcmeError {
    let detail = words(&problem);
    let kind = problem.r#type.unwrap_or_default();
    AcmeError::Refused { kind: kind.strip_prefix(TYPES).unwrap_or(&kind).to_owned(), detail }
}

/// What a problem says to a person.
pub(crate) fn words(problem: &Problem) -> String {
    problem.detail.clone().or_else(|| problem.r#type.clone()).unwrap_or_else(|| "no reason given".to_owned())
}

impl Challenge {
    /// As ACME writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Http01 => "port 80 of the host must lead to this server's `http` address",
            Self::TlsAlpn01 => "port 443 of the host must lead to this server's `https` address, undecrypted",
        }
    }
}
