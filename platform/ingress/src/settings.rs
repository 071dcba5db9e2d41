//! What may be set about the public door. It reads no file and no environment.

use std::time::Duration;

use crate::limits;

/// How the door behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Workers answer at `<name>.<base_domain>`; only error pages speak of it, since the register publishes whole hosts.
    pub base_domain: String,
    /// Where we are.
    pub colo: Colo,
    /// Connections at once on one listener.
    pub connections_max: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How often the files of certificates are looked at for a change.
    pub certificate_look_every: Duration,
    /// How long a client may take for the headers of one request.
    pub header_timeout: Duration,
    /// How long a connection is kept between two requests.
    pub idle_timeout: Duration,
    /// How long requests and WebSockets may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Largest request body.
    pub body_bytes_max: u64,
}

impl Settings {
    /// The usual behaviour for a base domain.
    #[must_use]
    pub fn new(base_domain: &str) -> Self {
        Self {
            base_domain: base_domain.to_owned(),
            colo: Colo::default(),
            connections_max: limits::CONNECTIONS_MAX,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            certificate_look_every: limits::CERTIFICATE_LOOK_EVERY,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            drain_timeout: limits::DRAIN_TIMEOUT,
            body_bytes_max: limits::BODY_BYTES_MAX,
        }
    }
}

/// What stands for a data centre in `request.cf.colo` and at the end of a ray id. Cloudflare writes the three letters of
/// the nearest airport, and programs expect three capital letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colo(String);

impl Colo {
    /// Three capital letters, or nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Colo {
    /// `LOC`, for "local": none of Cloudflare's data centres has this code.
    fn default() -> Self {
        Self("LOC".to_owned())
    }
}
