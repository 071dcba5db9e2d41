//! HTTPS to the ACME server, one connection for each request: there are a dozen in an order. instant-acme's own client would
//! bring a second way to find the system's authorities, and has no timeouts.

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tasks::Tasks;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    AcmeError,
    limits::{REQUEST_TIMEOUT, RESPONSE_BYTES_MAX},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Speaks to the ACME server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
    tasks: Tasks,
}

impl Client {
    /// Trusts the authorities of a file, or the system's. Blocks on the disk.
    pub(crate) fn new(ca_file: Option<&PathBuf>, tasks: Tasks) -> Result<Self, AcmeError> {
        let roots = match ca_file {
            Some(path) => roots_of(path)?,
            None => system_roots(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config), tasks })
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, Cause> {
        let (mut head, body) = request.into_parts();
        let authority = head.uri.authority().ok_or("the URL names no host")?.clone();
        if head.uri.scheme_str() != Some("https") {
            return Err("the URL does not begin with https://".into());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let socket = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(443))).await?;
        let socket =
            TlsConnector::from(Arc::clone(&self.tls)).connect(ServerName::try_from(host)?, socket).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // It ends when `sender` is dropped; an error shows in the exchange as well.
        self.tasks.spawn("acme connection", async move { drop(connection.await) });
        head.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
        let (head, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let url = request.uri().clone();
            let exchanged = timeout(REQUEST_TIMEOUT, client.exchange(request)).await;
            let answered = exchanged.unwrap_or_else(|_late| Err("it took too long".into()));
            let failed = |cause: Cause| {
                let reasons =
                    std::iter::successors(Some(&*cause as &dyn std::error::Error), |error| error.source());
                let reasons: Vec<String> = reasons.map(ToString::to_string).collect();
                Error::Other(format!("ask the ACME server at {url}: {}", reasons.join(": ")).into())
            };
            answered.map(BytesResponse::from).map_err(failed)
        })
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        tracing::warn!(
            "This system has no certificate authorities: no ACME server can be trusted (install ca-certificates)"
        );
    }
    roots
}

fn roots_of(path: &PathBuf) -> Result<RootCertStore, AcmeError> {
    let unusable = |cause: String| AcmeError::File(path.clone(), cause);
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(unusable("it holds no certificate of an authority".to_owned()));
    }
    Ok(roots)
}
