//! What is known of a connection once its handshake is done, in Cloudflare's words.

use rustls::{CipherSuite, ProtocolVersion, ServerConnection};

use super::Names;

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Secured {
    /// As in `request.cf.tlsVersion`.
    pub(crate) version: &'static str,
    /// As in `request.cf.tlsCipher`.
    pub(crate) cipher: &'static str,
    /// The hosts of the certificate that was served.
    pub(crate) names: Names,
}

impl Secured {
    pub(crate) fn of(connection: &ServerConnection, names: Names) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        Self { version, cipher: suite.map_or("", cipher), names }
    }
}

/// Cloudflare's names (its pages on cipher suites): BoringSSL's for TLS 1.3, OpenSSL's before. All that ring offers.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "AEAD-AES128-GCM-SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "AEAD-AES256-GCM-SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "AEAD-CHACHA20-POLY1305-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::ALL_CIPHER_SUITES;

    use super::cipher;

    #[test]
    fn every_suite_has_a_name() {
        for suite in ALL_CIPHER_SUITES {
            assert_ne!(cipher(suite.suite()), "", "{suite:?}");
        }
    }
}
