//! Promises about https: we speak TLS for the Worker, and only with origins that prove who they are.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::body::Body;
use egress::{Egress, Settings, SetupError};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tasks::Tasks;
use tokio::io::AsyncWriteExt;

use crate::harness::{ORIGIN, Worker, only, raw_origin, serve_http};

/// A certificate authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the authority's certificate into `folder`; returns the file.
    pub(crate) fn write(&self, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// An https origin that shows a certificate for `name` and answers with `text`.
    pub(crate) async fn origin(&self, tasks: &Tasks, name: &str, text: &'static str) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let private_key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        raw_origin(tasks, move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    serve_http(TokioIo::new(stream), move |request| async move {
                        if request.headers().contains_key("upgrade") {
                            return crate::tunnel::websocket_echo(request);
                        }
                        Response::new(Body::from(text))
                    })
                    .await;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn an_https_origin_under_a_private_authority_is_reached() {
    let (tasks, folder, authority) = (Tasks::new(), tempfile::tempdir().unwrap(), Authority::new());
    let address = authority.origin(&tasks, ORIGIN, "secret").await;
    let settings = Settings { ca_files: vec![authority.write(folder.path())], ..only(address) };
    let answer = Worker::new(settings).get("https://origin.test/").await;
    assert_eq!((answer.head.status, answer.text.as_str()), (StatusCode::OK, "secret"));
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_526() {
    let (tasks, folder, authority) = (Tasks::new(), tempfile::tempdir().unwrap(), Authority::new());
    let unknown = authority.origin(&tasks, ORIGIN, "").await;
    Worker::with_origin(unknown).get("https://origin.test/").await.assert_failure(526, 526);

    let another_name = authority.origin(&tasks, "another.test", "").await;
    let settings = Settings { ca_files: vec![authority.write(folder.path())], ..only(another_name) };
    Worker::new(settings).get("https://origin.test/").await.assert_failure(526, 526);
}

#[tokio::test]
async fn an_origin_that_does_not_speak_tls_is_525() {
    let tasks = Tasks::new();
    let address = raw_origin(&tasks, |mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    Worker::with_origin(address).get("https://origin.test/").await.assert_failure(525, 525);
}

#[tokio::test]
async fn a_certificate_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let open = |path: &Path| {
        let settings = Settings { ca_files: vec![path.to_owned()], ..Settings::default() };
        Egress::new(settings, crate::harness::no_hosts(), Tasks::new(), tasks::Clock::system()).unwrap_err()
    };
    assert!(matches!(open(&empty), SetupError::CaFileUseless(path) if path == empty));
    let missing = folder.path().join("missing.pem");
    assert!(matches!(open(&missing), SetupError::CaFile { path, .. } if path == missing));
}
