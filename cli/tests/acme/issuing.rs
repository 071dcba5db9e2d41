//! Both challenges, restarts, renewal.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use http::Method;
use rustls::{AlertDescription, ClientConfig, RootCertStore, pki_types::ServerName};
use testkit::{Server, wait_until, within};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    authority::{Behaviour, Place, is_here},
    support::{ORDER_LIMIT, add_domain, count, doctor, https, is_trusted, metrics, obtained, serve},
};

#[tokio::test]
async fn a_custom_domain_gets_a_certificate_within_seconds_and_keeps_it_over_a_restart() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let authority = place.start(Behaviour::default()).await;
    let server = serve(&place, &place.settings(""), None).await;
    let host = "shop.example.com";
    let root = authority.root(server.folder().path());
    assert!(!is_trusted(&server, host, &root), "until then the handshake is refused");
    add_domain(&server, host).await;
    server.log().wait_for(&obtained(host), ORDER_LIMIT).await;
    assert!(is_trusted(&server, host, &root));
    let text = metrics(&server).await;
    let days_left = format!("skerry_acme_certificate_days_left{{host=\"{host}\"}} 89");
    assert!(
        text.contains(&days_left) && text.contains(r#"skerry_acme_orders_total{result="issued"} 1"#),
        "{text}"
    );
    refuses_validation(&server, host).await;
    refuses_validation(&server, "other.example.com").await;

    let folder = server.stop().await;
    let orders = authority.orders();
    let report = doctor(folder.path());
    assert!(report.contains(&format!("ok    acme         {host}, 89 days left")), "{report}");
    modes_are_private(&folder.path().join("tls/acme"));
    let server = serve(&place, &place.settings(""), Some(&folder)).await;
    assert!(is_trusted(&server, host, &root), "at once");
    // A second host, so that there is an order to wait for.
    add_domain(&server, "two.example.com").await;
    server.log().wait_for(&obtained("two.example.com"), ORDER_LIMIT).await;
    assert_eq!((authority.orders(), count(&server, host)), (orders + 1, 0));
    server.stop().await;
}

/// Whoever offers `acme-tls/1` while no order waits for it is sent away with `no_application_protocol`.
async fn refuses_validation(server: &Server, host: &str) {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(https(server)).await.expect("connect");
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let error = within("a refusal", ORDER_LIMIT, shaken).await.expect_err("a refusal");
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(alert, Some(&expected), "{error}");
}

fn modes_are_private(folder: &Path) {
    for entry in fs::read_dir(folder).expect("list the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            modes_are_private(&path);
        } else {
            let mode = path.metadata().expect("look at it").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn hosts_and_workers_get_certificates_by_http_with_an_external_account() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let authority = place.start(Behaviour { asks_for_external_account: true, ..Behaviour::default() }).await;
    let settings = place.settings(&format!(
        "challenge = \"http-01\"\nhosts = [\"www.example.com\"]\nworker_hosts = true\n\
         external_account = {{ key_id = \"kid-1\", key_file = {:?} }}",
        place.external_key()
    ));
    let server = serve(&place, &settings, None).await;
    let root = authority.root(server.folder().path());
    for host in ["www.example.com", "hello.apps.example.com"] {
        server.log().wait_for(&obtained(host), ORDER_LIMIT).await;
    }
    assert!(is_trusted(&server, "hello.apps.example.com", &root));
    assert!(!is_trusted(&server, "other.apps.example.com", &root), "a host that no Worker has gets none");
    // The challenge's path is the Worker's own while no order waits for the token.
    let path = "/.well-known/acme-challenge/unknown";
    let answer = server.get("hello.apps.example.com", path).await.expect(200);
    assert_eq!(answer.text(), format!("hello {path}"));
    let _ = server.get("nobody.example.com", path).await.expect(404);
    server.stop().await;
}

#[tokio::test]
async fn certificates_are_renewed_in_time_while_their_host_is_there() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let authority = place.start(Behaviour { validity_secs: Some(9), ..Behaviour::default() }).await;
    let server = serve(&place, &place.settings(""), None).await;
    let (host, gone) = ("stays.example.com", "goes.example.com");
    let id = add_domain(&server, gone).await;
    server.log().wait_for(&obtained(gone), ORDER_LIMIT).await;
    let path = format!("/accounts/{{account}}/workers/domains/{id}");
    let _ = server.api(Method::DELETE, &path, None).await.expect(200);
    let before = count(&server, gone);
    add_domain(&server, host).await;
    // Each renewal is due when two thirds of nine seconds are over: the removed host's would fall between these.
    wait_until("three renewals", ORDER_LIMIT * 2, || 3 <= count(&server, host)).await;
    assert!(is_trusted(&server, host, &authority.root(server.folder().path())));
    assert_eq!(count(&server, gone), before);
    server.stop().await;
}
