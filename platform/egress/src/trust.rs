//! Whom we trust when an origin shows a certificate: the system's authorities and the operator's own.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::settings::SetupError;

/// The TLS configuration for all origins.
pub(crate) fn client_config(ca_files: &[PathBuf]) -> Result<Arc<ClientConfig>, SetupError> {
    let mut roots = system_roots();
    for path in ca_files {
        add_file(&mut roots, path)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "Skipped a certificate authority of the system");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "This system has no certificate authorities: `fetch()` over https will fail (install ca-certificates)"
        );
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &PathBuf) -> Result<(), SetupError> {
    let unreadable = |source| SetupError::CaFile { path: path.clone(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 || ignored > 0 {
        return Err(SetupError::CaFileUseless(path.clone()));
    }
    Ok(())
}
