//! Who asks, as far as the door knows: an address, a scheme, and whether it is a visitor or a Worker of ours.

use std::{net::IpAddr, sync::Arc};

use http::HeaderValue;

use crate::tls::Secured;

/// How the client reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) address: IpAddr,
    pub(crate) address_text: HeaderValue,
    pub(crate) scheme: Scheme,
    pub(crate) is_worker: bool,
    /// Of a connection that we secured ourselves.
    pub(crate) tls: Option<Arc<Secured>>,
}

impl Client {
    /// Somebody on the network.
    #[must_use]
    pub fn visitor(address: IpAddr, scheme: Scheme) -> Self {
        Self::new(address, scheme, false)
    }

    /// A Worker of ours whose `fetch()` named a host that we serve. Its requests count toward the loop limit.
    #[must_use]
    pub fn worker(address: IpAddr, scheme: Scheme) -> Self {
        Self::new(address, scheme, true)
    }

    /// Somebody on the network, whose handshake is done.
    pub(crate) fn secured(address: IpAddr, secured: Secured) -> Self {
        Self { tls: Some(Arc::new(secured)), ..Self::new(address, Scheme::Https, false) }
    }

    /// Whether the connection's certificate is good for a host; without one every host is.
    pub(crate) fn may_ask_for(&self, host: &str) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.names.cover(host))
    }

    fn new(address: IpAddr, scheme: Scheme, is_worker: bool) -> Self {
        // An IPv4 client of a dual-stack listener is known by its IPv4 address.
        let address = address.to_canonical();
        let address_text = HeaderValue::from_str(&address.to_string())
            .expect("an address is made of digits, dots, letters and colons");
        Self { address, address_text, scheme, is_worker, tls: None }
    }
}
