//! TLS at the door: whose certificate is served, what a Worker learns of it, and what happens to clients that do otherwise.

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::{CertificateFiles, Settings, Tls, TlsError};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    version::{TLS12, TLS13},
};
use tasks::Clock;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::support::{Door, HOST, RequestStream, door_with, empty, in_time, noted, read_to_end};

const H1: &[&str] = &["http/1.1"];
const H2: &[&str] = &["h2", "http/1.1"];

/// A door that speaks TLS.
struct Secure {
    door: Door,
    tls: Tls,
    address: SocketAddr,
    folder: TempDir,
}

async fn secure(files: impl FnOnce(&Path) -> Vec<CertificateFiles>) -> Secure {
    secure_with(|_| {}, files).await
}

async fn secure_with(
    change: impl FnOnce(&mut Settings),
    files: impl FnOnce(&Path) -> Vec<CertificateFiles>,
) -> Secure {
    let door = door_with(|settings| {
        // Tests look themselves.
        settings.certificate_look_every = Duration::from_secs(3600);
        change(settings);
    })
    .await;
    let folder = TempDir::new().unwrap();
    let tls = Tls::open(folder.path(), "localhost", &files(folder.path()), Clock::system()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    door.tasks.spawn_draining("tls", door.ingress.clone().serve_tls(listener, tls.clone()));
    Secure { door, tls, address, folder }
}

impl Secure {
    /// A client that trusts the development authority alone.
    fn trusting(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.tls.authority()).unwrap()).unwrap();
        client_config(&[&TLS13, &TLS12]).with_root_certificates(roots).with_no_client_auth()
    }

    async fn connect(
        &self,
        mut config: ClientConfig,
        alpn: &[&str],
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.connect_again(&Arc::new(config), host).await
    }

    async fn connect_again(
        &self,
        config: &Arc<ClientConfig>,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        in_time(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
    }

    /// The certificate for a host, or the alert.
    async fn served(&self, host: &str) -> Result<CertificateDer<'static>, String> {
        let stream =
            self.connect(credulous(), H1, host).await.map_err(|error| format!("{:?}", alert(&error)))?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
    }

    async fn http1(&self, config: ClientConfig) -> http1::SendRequest<RequestStream> {
        let stream = self.connect(config, H1, HOST).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.door.client_tasks.spawn("client", async move { drop(connection.await) });
        sender
    }

    async fn http2(&self, host: &str) -> http2::SendRequest<RequestStream> {
        let stream = self.connect(credulous(), H2, host).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        self.door.client_tasks.spawn("client", async move { drop(connection.await) });
        sender
    }
}

fn client_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

/// A client that believes every certificate, to look at it.
fn credulous() -> ClientConfig {
    credulous_with(&[&TLS13, &TLS12])
}

fn credulous_with(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    client_config(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Writes a certificate that signs itself.
fn write(folder: &Path, file: &str, names: &[&str]) -> (CertificateFiles, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let path = |end: &str| -> PathBuf { folder.join(format!("{file}.{end}")) };
    let files = CertificateFiles { cert: path("pem"), key: path("key") };
    fs::write(&files.cert, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    (files, certificate.der().clone())
}

fn get(path: &str) -> Request<RequestStream> {
    Request::get(path).header("host", HOST).body(empty()).unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_worker_sees_that_it_was_asked_over_tls() {
    let secure = secure(|_| Vec::new()).await;
    let answer = secure.http1(secure.trusting()).await.send_request(get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = secure.door.notes.last_headers();
    assert_eq!(seen["x-forwarded-proto"], "https");
    assert_eq!(seen["x-skerry-proto"], "https");
    assert_eq!(seen["cf-visitor"], r#"{"scheme":"https"}"#);
    let cf = |headers: &http::HeaderMap| -> serde_json::Value {
        serde_json::from_slice(headers["x-skerry-cf"].as_bytes()).unwrap()
    };
    assert_eq!(cf(&seen)["tlsVersion"], "TLSv1.3");
    assert_eq!(cf(&seen)["httpProtocol"], "HTTP/1.1");
    assert!(cf(&seen)["tlsCipher"].as_str().unwrap().starts_with("AEAD-AES"), "{seen:?}");

    let request = Request::get(format!("https://{HOST}/")).header("accept-encoding", "br");
    let answer = secure.http2(HOST).await.send_request(request.body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = cf(&secure.door.notes.last_headers());
    assert_eq!((&seen["httpProtocol"], &seen["clientAcceptEncoding"]), (&"HTTP/2".into(), &"br".into()));

    let mut sender = secure.http1(credulous_with(&[&TLS12])).await;
    sender.send_request(get("/")).await.unwrap();
    let seen = cf(&secure.door.notes.last_headers());
    assert_eq!(seen["tlsVersion"], "TLSv1.2");
    assert!(seen["tlsCipher"].as_str().unwrap().starts_with("ECDHE-ECDSA-AES"), "{seen}");
    let trace = text(sender.send_request(get("/cdn-cgi/trace")).await.unwrap()).await;
    let trace = String::from_utf8_lossy(&trace).into_owned();
    assert!(trace.contains("visit_scheme=https\n") && trace.contains("tls=TLSv1.2\n"), "{trace}");
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let mut made = Vec::new();
    let secure = secure(|folder| {
        made.push(write(folder, "star", &["*.example.com", "example.com"]));
        made.push(write(folder, "one", &["one.example.com", "own.localhost"]));
        made.iter().map(|(files, _)| files.clone()).collect()
    })
    .await;
    let (star, one) = (&made[0].1, &made[1].1);
    for (host, certificate) in [
        ("example.com", star),
        ("two.example.com", star),
        ("TWO.example.com", star),
        ("one.example.com", one),
        ("own.localhost", one),
    ] {
        assert_eq!(secure.served(host).await.as_ref(), Ok(certificate), "{host}");
    }
    for host in ["hello.localhost", "localhost", "a.b.localhost"] {
        let stream = secure.connect(secure.trusting(), H2, host).await;
        assert!(stream.is_ok(), "{host}: {stream:?}");
    }
    for host in ["a.b.example.com", "example.org", "notlocalhost"] {
        let refused = secure.served(host).await;
        assert_eq!(refused, Err("Some(UnrecognisedName)".to_owned()), "{host}");
    }
    let nameless = secure.served("127.0.0.1").await;
    assert_eq!(nameless, Err("Some(MissingExtension)".to_owned()));
    secure.door.shows("skerry_ingress_tls_handshakes_failed_total 4");
}

#[tokio::test]
async fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let mut first = None;
    let secure = secure(|folder| {
        let (files, certificate) = write(folder, "a-changing", &["example.com"]);
        first = Some(certificate);
        vec![files]
    })
    .await;
    let first = first.unwrap();
    assert_eq!(secure.served("example.com").await.unwrap(), first);
    let mut kept = secure.http2("example.com").await;
    let request = || Request::get("https://example.com/").body(empty()).unwrap();
    assert_eq!(kept.send_request(request()).await.unwrap().status(), 404);

    let (files, second) = write(secure.folder.path(), "a-changing", &["example.com", "new.example.com"]);
    assert_eq!(secure.served("example.com").await.unwrap(), first, "nobody has looked yet");
    secure.tls.look(false);
    assert_eq!(secure.served("example.com").await.unwrap(), second);
    assert_eq!(secure.served("new.example.com").await.unwrap(), second);
    assert_eq!(kept.send_request(request()).await.unwrap().status(), 404, "connections stay");

    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(&files.cert, broken).unwrap();
        secure.tls.look(false);
        secure.tls.look(false);
        assert_eq!(secure.served("example.com").await.unwrap(), second);
    }
    fs::remove_file(&files.cert).unwrap();
    secure.tls.look(false);
    secure.tls.look(false);
    assert_eq!(secure.served("example.com").await.unwrap(), second);
    assert_eq!(
        noted("a-changing.pem").iter().filter(|line| line.contains("WARN")).count(),
        3,
        "once for each"
    );

    // The key comes a moment after its certificate.
    let (_, third) = write(secure.folder.path(), "a-changing", &["example.com"]);
    let key = fs::read(&files.key).unwrap();
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    secure.tls.look(false);
    assert_eq!(secure.served("example.com").await.unwrap(), second);
    fs::write(&files.key, key).unwrap();
    secure.tls.look(true);
    assert_eq!(secure.served("example.com").await.unwrap(), third);
    assert_eq!(secure.served("new.example.com").await, Err("Some(UnrecognisedName)".to_owned()));
}

#[tokio::test]
async fn files_are_looked_at_from_time_to_time() {
    let often = |settings: &mut Settings| settings.certificate_look_every = Duration::from_millis(10);
    let secure = secure_with(often, |folder| vec![write(folder, "b-changing", &["example.com"]).0]).await;
    write(secure.folder.path(), "b-changing", &["later.example.com"]);
    in_time(async { while secure.served("later.example.com").await.is_err() {} }).await;
}

#[tokio::test]
async fn a_configured_certificate_that_cannot_be_used_is_an_error_at_the_start() {
    let folder = TempDir::new().unwrap();
    let (one, _) = write(folder.path(), "one", &["example.com"]);
    let (two, _) = write(folder.path(), "two", &["example.com"]);
    let (nameless, _) = write(folder.path(), "nameless", &[]);
    let mixed = CertificateFiles { cert: one.cert.clone(), key: two.key };
    let swapped = CertificateFiles { cert: one.key.clone(), key: one.cert.clone() };
    let missing = CertificateFiles { cert: folder.path().join("none.pem"), key: one.key };
    for (files, words) in [
        (mixed, "does not serve the certificate"),
        (swapped, "holds no certificate"),
        (missing, "none.pem"),
        (nameless, "names no host"),
    ] {
        let error = Tls::open(folder.path(), "localhost", &[files], Clock::system()).unwrap_err();
        assert!(matches!(error, TlsError::Certificate(_)) && error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_request_for_a_host_that_the_certificate_is_not_for_is_421() {
    let secure = secure(|folder| vec![write(folder, "star", &["*.example.com"]).0]).await;
    let mut sender = secure.http2("one.example.com").await;
    for (host, status) in
        [("one.example.com", 404), ("two.example.com:8443", 404), (HOST, 421), ("example.com", 421)]
    {
        let request = Request::get(format!("https://{host}/")).body(empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), status, "{host}");
    }
    let mut sender = secure.http1(secure.trusting()).await;
    let request = Request::get("/").header("host", "one.example.com").body(empty()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200, "the connection goes on");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_ends_the_connection() {
    let soon = Duration::from_millis(100);
    let secure = secure_with(|settings| settings.handshake_timeout = soon, |_| Vec::new()).await;
    // Nothing, the head of a record, and a record's head that announces more than comes.
    for begin in [&b""[..], &[22], &[22, 3, 1, 0, 200, 1, 0]] {
        let mut stream = TcpStream::connect(secure.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        assert_eq!(in_time(stream.read(&mut [0; 8])).await.unwrap_or(0), 0, "{begin:?}");
    }
    // One that ended is no longer watched by that limit.
    let mut sender = secure.http1(secure.trusting()).await;
    tokio::time::sleep(soon * 2).await;
    assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn plain_http_is_told_so_and_noise_is_cut() {
    let secure = secure(|_| Vec::new()).await;
    let mut stream = TcpStream::connect(secure.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("sent to the HTTPS address\n"),
        "{answer}"
    );
    let length = answer.split("\r\n\r\n").nth(1).unwrap().len();
    assert!(answer.contains(&format!("Content-Length: {length}\r\n")), "{answer}");
    for noise in [&b"\0\0\0\0"[..], b"\x80\x2e\x01\x03\x01", b"\xff\xfe"] {
        let mut stream = TcpStream::connect(secure.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        match in_time(stream.read(&mut [0; 8])).await {
            Ok(bytes) => assert_eq!(bytes, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert!(secure.door.notes.lines().is_empty());
}

#[tokio::test]
async fn a_client_that_speaks_no_http_we_know_is_refused() {
    let secure = secure(|_| Vec::new()).await;
    let error = secure.connect(secure.trusting(), &["h3"], HOST).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::NoApplicationProtocol));
    let stream = secure.connect(secure.trusting(), &[], HOST).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    secure.door.client_tasks.spawn("client", async move { drop(connection.await) });
    assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200, "without ALPN it is HTTP/1.1");
}

#[tokio::test]
async fn a_session_is_resumed_also_after_a_reload() {
    let secure = secure(|folder| vec![write(folder, "one", &["example.com"]).0]).await;
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(credulous_with(&[version]));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut stream = secure.connect_again(&config, "example.com").await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{version:?}");
            // The tickets come with the first answer.
            let ask = b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
            stream.write_all(ask).await.unwrap();
            in_time(stream.read_to_end(&mut Vec::new())).await.expect("ended with a word of farewell");
            secure.tls.look(true);
        }
    }
    let stream = secure.connect(credulous(), H1, "example.com").await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn websockets_go_over_tls() {
    let secure = secure(|_| Vec::new()).await;
    let stream = secure.connect(secure.trusting(), H1, HOST).await.unwrap();
    let request = format!("wss://{HOST}/socket").into_client_request().unwrap();
    let (mut socket, _) = in_time(Box::pin(client_async(request, stream))).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time(socket.next()).await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while in_time(socket.next()).await.is_some() {}
}

#[tokio::test]
async fn a_stop_finishes_requests_over_tls_and_cuts_handshakes() {
    let secure = secure(|_| Vec::new()).await;
    let mut silent = TcpStream::connect(secure.address).await.unwrap();
    let mut sender = secure.http1(secure.trusting()).await;
    let answer = async { text(sender.send_request(get("/wait")).await.unwrap()).await };
    let stop = async {
        secure.door.notes.arrived.pass().await;
        let finish = async {
            assert_eq!(read_to_end(&mut silent).await, "");
            secure.door.notes.gate.open();
        };
        let (is_drained, ()) = tokio::join!(secure.door.tasks.stop(Duration::from_secs(10)), finish);
        assert!(is_drained);
    };
    let (answer, ()) = in_time(async { tokio::join!(answer, stop) }).await;
    assert_eq!(answer, "waited");
}
