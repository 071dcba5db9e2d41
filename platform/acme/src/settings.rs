//! What may be set. It reads no file and no environment.

use std::path::PathBuf;

/// Where certificates come from, and for whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL of the ACME server's directory.
    pub directory: String,
    /// An e-mail address for the server's notices.
    pub contact: Option<String>,
    /// PEM file with the authorities that vouch for the ACME server; else the system's do.
    pub ca_file: Option<PathBuf>,
    /// How hosts are validated.
    pub challenge: Challenge,
    /// Hosts that get a certificate in any case, in lower case.
    pub hosts: Vec<String>,
    /// Whether each custom domain gets one.
    pub is_for_custom_domains: bool,
    /// The domain whose Workers' hosts get one each.
    pub worker_domain: Option<String>,
    /// An account elsewhere that the ACME account is bound to.
    pub external_account: Option<ExternalAccount>,
}

/// How the server convinces itself that a host is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a request to port 80.
    Http01,
    /// By a handshake at port 443.
    TlsAlpn01,
}

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// The key's name, from the authority.
    pub key_id: String,
    /// The file that holds the key, in base64url.
    pub key_file: PathBuf,
}
