//! What cannot be had: said clearly, not asked for too often, and no trouble for others.

use std::fs;

use rustix::process::Signal;
use testkit::{Server, wait_until, within};

use crate::{
    authority::{Behaviour, Place, is_here},
    resolver::NOWHERE,
    support::{ORDER_LIMIT, add_domain, count, doctor, is_trusted, metrics, obtained, serve},
};

/// The part of the message that all failures have.
const FAILED: &str = "No certificate for";

#[tokio::test]
async fn a_host_that_cannot_be_validated_is_named_with_advice_and_left_alone_for_a_while() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let authority = place.start(Behaviour::default()).await;
    let server = serve(&place, &place.settings(""), None).await;
    server.log().expect(FAILED);
    let (bad, good) = (format!("{NOWHERE}.example.com"), "good.example.com");
    add_domain(&server, &bad).await;
    let line = server.log().wait_for(FAILED, ORDER_LIMIT).await;
    for words in [bad.as_str(), "tls-alpn-01", "port 443", "the next try is in"] {
        assert!(line.contains(words), "{line}");
    }
    add_domain(&server, good).await;
    server.log().wait_for(&obtained(good), ORDER_LIMIT).await;
    let text = metrics(&server).await;
    assert!(text.contains(&format!("skerry_acme_failures{{host=\"{bad}\"}} 1")), "{text}");

    let orders = authority.orders();
    let folder = server.stop().await;
    let report = doctor(folder.path());
    assert!(report.contains(&format!("weak  acme         {bad} has no certificate: ")), "{report}");
    let server = serve(&place, &place.settings(""), Some(&folder)).await;
    server.log().expect(FAILED);
    add_domain(&server, "third.example.com").await;
    server.log().wait_for(&obtained("third.example.com"), ORDER_LIMIT).await;
    assert_eq!(authority.orders(), orders + 1, "a restart does not shorten the pause");
    server.signal(Signal::HUP);
    wait_until("another order", ORDER_LIMIT, || orders + 2 <= authority.orders()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_tried_again() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let server = serve(&place, &place.settings("hosts = [\"www.example.com\"]"), None).await;
    server.log().expect(FAILED);
    let line = server.log().wait_for(FAILED, ORDER_LIMIT).await;
    assert!(
        line.contains("ask the ACME server at https://127.") && line.contains("check `directory`"),
        "{line}"
    );
    assert_eq!(server.get("hello.apps.example.com", "/").await.expect(200).text(), "hello /");
    let _authority = place.start(Behaviour::default()).await;
    server.signal(Signal::HUP);
    server.log().wait_for(&obtained("www.example.com"), ORDER_LIMIT).await;
    assert!(metrics(&server).await.contains("skerry_acme_failures{host=\"www.example.com\"} 0"));
    server.stop().await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_an_order_starts_again_and_orders_anew() {
    if !is_here() {
        return;
    }
    let place = Place::new();
    let authority = place.start(Behaviour::default()).await;
    let settings = place.settings("hosts = [\"www.example.com\"]");
    // pebble's validation is let in and hears nothing.
    let arguments = ["--https", "127.0.0.1:0", "--base-domain", "apps.example.com"];
    let server = Server::builder().args(arguments).settings(&settings).start().await;
    within("the validation", ORDER_LIMIT, place.https.knocked()).await;
    let folder = server.kill().await;
    let of_server =
        fs::read_dir(folder.path().join("tls/acme")).expect("list").next().expect("one").expect("one");
    let cut_off = of_server.path().join(".www.example.com.pem.1-1.tmp");
    fs::write(&cut_off, "half").expect("write");

    let server = serve(&place, &settings, Some(&folder)).await;
    assert!(!cut_off.exists());
    server.log().wait_for(&obtained("www.example.com"), ORDER_LIMIT).await;
    assert_eq!(count(&server, "www.example.com"), 1);
    server
        .deploy(&testkit::Script::module("hello", "export default { fetch: () => new Response('hello /') };"))
        .await;
    add_domain(&server, "www.example.com").await;
    assert!(is_trusted(&server, "www.example.com", &authority.root(server.folder().path())));
    server.stop().await;
}
