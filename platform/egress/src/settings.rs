//! What an operator may set, and what can be wrong with it. Reading it from a file is not done here.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::limits;

/// What Workers may reach, and how long we wait for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Networks that Workers may reach although they are not public.
    pub allow: Vec<IpNet>,
    /// Names with a fixed address. The address is used as it stands, port included, whatever the URL's port.
    pub hosts: HashMap<String, SocketAddr>,
    /// PEM files with certificate authorities to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// The domain below which Workers answer; `CF-Worker` names it.
    pub base_domain: String,
    /// Connections that one version may hold open to us, and as many to origins.
    pub connections_max: usize,
    /// Looking up a name and connecting to one of its addresses.
    pub connect_timeout: Duration,
    /// The TLS handshake.
    pub tls_timeout: Duration,
    /// Waiting for a response head while no byte of the request moves.
    pub answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            hosts: HashMap::new(),
            ca_files: Vec::new(),
            base_domain: "localhost".to_owned(),
            connections_max: limits::CONNECTIONS_MAX,
            connect_timeout: limits::CONNECT_TIMEOUT,
            tls_timeout: limits::TLS_TIMEOUT,
            answer_timeout: limits::ANSWER_TIMEOUT,
        }
    }
}

/// Why egress cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file of certificate authorities could not be read.
    #[error("read the certificate authorities in {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A file of certificate authorities held none that can be used.
    #[error("{0} holds no usable certificate authority")]
    CaFileUseless(PathBuf),
    /// The base domain cannot stand in a header.
    #[error("`{0}` is not a domain")]
    BaseDomain(String),
}
