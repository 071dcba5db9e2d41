//! What an ACME server asks us to prove that a host is ours: a path of the plain door (HTTP-01, RFC 8555 section 8.3) or a
//! handshake (TLS-ALPN-01, RFC 8737). Who orders certificates says here what to answer, for as long as it waits.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// The protocol that a validating client offers, and no other (RFC 8737 section 4).
pub(crate) const VALIDATION_PROTOCOL: &[u8] = b"acme-tls/1";

/// Where HTTP-01 is asked for; the token follows.
const VALIDATION_PATH: &str = "/.well-known/acme-challenge/";

/// The answers that are waited for; cheap to clone.
#[derive(Clone, Default)]
pub struct Challenges(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// By token.
    requests: HashMap<String, ForRequest>,
    /// By host.
    handshakes: HashMap<String, Arc<ServerConfig>>,
}

struct ForRequest {
    host: String,
    answer: String,
}

/// An answer that is given until this is dropped.
#[must_use]
pub struct Offer {
    challenges: Challenges,
    kind: Kind,
}

enum Kind {
    Request(String),
    Handshake(String),
}

/// The certificate that proves cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("make the certificate that proves who serves `{host}`: {cause}")]
pub struct ProofError {
    host: String,
    cause: String,
}

impl Challenges {
    /// Answers requests for `token` at `host` (in lower case).
    pub fn offer_request(&self, host: &str, token: &str, answer: &str) -> Offer {
        let pending = ForRequest { host: host.to_owned(), answer: answer.to_owned() };
        self.lock().requests.insert(token.to_owned(), pending);
        Offer { challenges: self.clone(), kind: Kind::Request(token.to_owned()) }
    }

    /// Answers handshakes that validate `host` (in lower case) with the SHA-256 of the key authorization.
    pub fn offer_handshake(&self, host: &str, digest: &[u8]) -> Result<Offer, ProofError> {
        let config = proof(host, digest)
            .map_err(|cause| ProofError { host: host.to_owned(), cause: cause.to_string() })?;
        self.lock().handshakes.insert(host.to_owned(), Arc::new(config));
        Ok(Offer { challenges: self.clone(), kind: Kind::Handshake(host.to_owned()) })
    }

    /// The answer to a request, if it is one that is waited for.
    pub(crate) fn answer(&self, host: &str, path: &str) -> Option<String> {
        let token = path.strip_prefix(VALIDATION_PATH)?;
        let pending = self.lock();
        let found = pending.requests.get(token)?;
        found.host.eq_ignore_ascii_case(host).then(|| found.answer.clone())
    }

    /// How to answer a handshake that validates a host, if one is waited for.
    pub(crate) fn handshake(&self, host: &str) -> Option<Arc<ServerConfig>> {
        self.lock().handshakes.get(&host.to_ascii_lowercase()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Challenges(…)")
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Offer(…)")
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let mut pending = self.challenges.lock();
        match &self.kind {
            Kind::Request(token) => drop(pending.requests.remove(token)),
            Kind::Handshake(host) => drop(pending.handshakes.remove(host)),
        }
    }
}

/// Serves the certificate that RFC 8737 section 3 describes: signed by itself, for the host alone, with the digest in an
/// extension.
fn proof(host: &str, digest: &[u8]) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Unchecked: rustls refuses certificates with a critical extension that it does not know, as this one's has to be.
    let served = CertifiedKey::new(vec![certificate.der().clone()], any_supported_type(&der)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(served)));
    config.alpn_protocols = vec![VALIDATION_PROTOCOL.to_vec()];
    Ok(config)
}
