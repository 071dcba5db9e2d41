//! The whole server over TLS: curl, a real Worker, certificates that change under load, and the commands around them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use testkit::{DataFolder, Script, Server, command, wait_until, within};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async, tungstenite::Message};

const MIRROR: &str = r#"
export default {
    async fetch(request) {
        if (request.headers.get("upgrade") === "websocket") {
            const [client, server] = Object.values(new WebSocketPair());
            server.accept();
            server.addEventListener("message", (event) => server.send(`${event.data} over ${request.url}`));
            return new Response(null, { status: 101, webSocket: client });
        }
        return Response.json({
            url: request.url,
            headers: Object.fromEntries(request.headers),
            cf: request.cf,
        });
    },
};"#;

/// How long a changed certificate may take: the server looks every two seconds.
const RELOAD_LIMIT: Duration = Duration::from_secs(15);

async fn serve(settings: &str) -> Server {
    let server = Server::builder().args(["--https", "127.0.0.1:0"]).settings(settings).start().await;
    server.deploy(&Script::module("mirror", MIRROR)).await;
    server
}

fn https_port(server: &Server) -> u16 {
    let text = fs::read(server.folder().path().join("run/addresses.json")).expect("read addresses.json");
    let addresses: Value = serde_json::from_slice(&text).expect("JSON");
    let https = addresses["https"].as_str().expect("an address for https").to_owned();
    https.strip_prefix("https://127.0.0.1:").expect("an origin").parse().expect("a port")
}

/// curl, for a host of ours. Names below `localhost` need no resolver; others are pointed here.
fn curl(server: &Server, host: &str, arguments: &[&str]) -> Output {
    let port = https_port(server);
    let mut command = command("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--resolve"]);
    command.arg(format!("{host}:{port}:127.0.0.1")).args(arguments);
    let output = command.arg(format!("https://{host}:{port}/path?query=1")).output();
    output.expect("run curl (Debian: curl)")
}

fn authority(server: &Server) -> String {
    server.folder().path().join("tls/ca.pem").display().to_string()
}

/// Writes a certificate that signs itself, so that trusting it is knowing it.
fn write(folder: &Path, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
    let paths = (folder.join(format!("{file}.pem")), folder.join(format!("{file}.key")));
    // The key first: in between, the server finds a key that is not the certificate's and says so.
    fs::write(&paths.1, key.serialize_pem()).expect("write the key");
    fs::write(&paths.0, certificate.pem()).expect("write the certificate");
    paths
}

fn settings(pairs: &[&(PathBuf, PathBuf)]) -> String {
    let one =
        |(cert, key): &(PathBuf, PathBuf)| format!("[[tls.certificates]]\ncert = {cert:?}\nkey = {key:?}\n");
    pairs.iter().map(|pair| one(pair)).collect()
}

#[tokio::test]
async fn curl_reaches_a_worker_with_the_development_certificate() {
    let server = serve("").await;
    let (port, authority) = (https_port(&server), authority(&server));
    server.log().wait_for(&format!("curl --cacert {authority}"), RELOAD_LIMIT).await;
    for (version, protocol, tls, flag) in
        [("--http2", "HTTP/2", "TLSv1.3", "--tlsv1.3"), ("--http1.1", "HTTP/1.1", "TLSv1.2", "--tls-max=1.2")]
    {
        let tls_flags: Vec<&str> = flag.split('=').collect();
        let arguments = [&["--cacert", authority.as_str(), version], tls_flags.as_slice()].concat();
        let output = curl(&server, "mirror.localhost", &arguments);
        let seen: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(seen["url"], format!("https://mirror.localhost:{port}/path?query=1"));
        assert_eq!(seen["headers"]["x-forwarded-proto"], "https");
        assert_eq!(seen["headers"]["cf-visitor"], r#"{"scheme":"https"}"#);
        assert_eq!((&seen["cf"]["httpProtocol"], &seen["cf"]["tlsVersion"]), (&protocol.into(), &tls.into()));
        assert!(seen["cf"]["tlsCipher"].as_str().is_some_and(|name| !name.is_empty()), "{seen}");
    }
    let untrusted = curl(&server, "mirror.localhost", &[]);
    assert_eq!(
        untrusted.status.code(),
        Some(60),
        "curl's \"certificate cannot be authenticated\": {untrusted:?}"
    );
    let unknown = curl(&server, "mirror.example.com", &["--cacert", &authority]);
    assert_eq!(unknown.status.code(), Some(35), "curl's \"handshake failed\": {unknown:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_reaches_a_worker_over_tls() {
    let server = serve("").await;
    let port = https_port(&server);
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority(&server)).expect("the authority");
    roots.add(certificate).expect("a fit authority");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
    let name = ServerName::try_from("mirror.localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    let url = format!("wss://mirror.localhost:{port}/socket");
    let (mut socket, _) = client_async(&url, stream).await.expect("a WebSocket");
    socket.send(Message::text("hello")).await.expect("send");
    let echo = within("an echo", RELOAD_LIMIT, socket.next()).await.expect("a message").expect("a message");
    assert_eq!(echo, Message::text(format!("hello over https://mirror.localhost:{port}/socket")));
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn certificates_from_files_are_taken_up_when_they_change_and_requests_go_on() {
    let folder = DataFolder::new();
    let star = write(folder.path(), "star", &["*.apps.example.com"]);
    let one = write(folder.path(), "one", &["mirror.apps.example.com"]);
    let server = Server::builder()
        .args(["--https", "127.0.0.1:0", "--base-domain", "apps.example.com"])
        .settings(&settings(&[&star, &one]))
        .start()
        .await;
    server.deploy(&Script::module("mirror", MIRROR)).await;
    let reaches = |host: &str, certificate: &Path| {
        let output = curl(&server, host, &["--cacert", &certificate.display().to_string()]);
        output.status.success()
    };
    assert!(reaches("mirror.apps.example.com", &one.0));
    assert!(!reaches("mirror.apps.example.com", &star.0));
    assert!(reaches("other.apps.example.com", &star.0));

    write(folder.path(), "one", &["mirror.apps.example.com"]);
    server.signal(Signal::HUP);
    server.log().wait_for("Reading the certificates again", RELOAD_LIMIT).await;
    wait_until("the new certificate", RELOAD_LIMIT, || reaches("mirror.apps.example.com", &one.0)).await;

    let good = fs::read(&one.0).expect("the certificate");
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, &good).expect("write the certificate");
    server.log().expect("A changed certificate cannot be used");
    fs::write(&one.0, "broken").expect("write the certificate");
    server.log().wait_for("A changed certificate cannot be used", RELOAD_LIMIT).await;
    assert!(reaches("mirror.apps.example.com", &trusted), "the one before stays");
    // Without a signal as well.
    write(folder.path(), "one", &["mirror.apps.example.com"]);
    wait_until("the new certificate", RELOAD_LIMIT, || reaches("mirror.apps.example.com", &one.0)).await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_speaks_of_tls_unless_it_is_on() {
    let server = Server::start().await;
    let folder = server.folder();
    let addresses = fs::read_to_string(folder.path().join("run/addresses.json")).expect("addresses.json");
    assert!(!addresses.contains("https"), "{addresses}");
    assert!(!folder.path().join("tls").exists());
    server.stop().await;
}

#[tokio::test]
async fn doctor_and_serve_say_which_certificate_cannot_be_used() {
    let folder = DataFolder::new();
    let good = write(folder.path(), "good", &["example.com"]);
    let other = write(folder.path(), "other", &["*.example.org"]);
    let config = folder.path().join("settings.toml");
    let skerry = |arguments: &[&str]| {
        let mut command = command(env!("CARGO_BIN_EXE_skerry"));
        command.args(arguments).arg("--data").arg(folder.path()).arg("--config").arg(&config);
        let output = command.env("SKERRY_WORKERD", testkit::Clients::find().workerd()).output();
        output.expect("run skerry")
    };
    fs::write(&config, settings(&[&good, &other])).expect("write the settings");
    let report = String::from_utf8(skerry(&["doctor"]).stdout).expect("text");
    assert!(report.contains("good.key` is open to other users"), "{report}");
    for (_, key) in [&good, &other] {
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    let report = String::from_utf8(skerry(&["doctor"]).stdout).expect("text");
    assert!(report.contains("for *.example.org, ") && report.contains(" days left"), "{report}");

    fs::write(&config, settings(&[&good, &(good.0.clone(), other.1)])).expect("write the settings");
    let refused = skerry(&["doctor"]);
    assert_eq!(refused.status.code(), Some(1));
    let report = String::from_utf8(refused.stdout).expect("text");
    assert!(report.contains("BAD   certificate") && report.contains("other.key"), "{report}");
    let any = "127.0.0.1:0";
    let refused = skerry(&["serve", "--http", any, "--api", any, "--https", any]);
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8(refused.stderr).expect("text");
    assert!(words.contains("other.key") && words.contains("skerry doctor --config"), "{words}");
}
