//! A server with `--https` and what is asked of it.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use testkit::{DataFolder, Script, Server, command};

use crate::authority::Place;

/// How long an order may take: validation, issuing, and refused nonces in between.
pub(crate) const ORDER_LIMIT: Duration = Duration::from_secs(40);

const HELLO: &str =
    "export default { fetch: (request) => new Response(`hello ${new URL(request.url).pathname}`) };";

/// Starts a server whose doors pebble can reach, with a Worker `hello`.
pub(crate) async fn serve(place: &Place, settings: &str, folder: Option<&Arc<DataFolder>>) -> Server {
    let arguments = ["--https", "127.0.0.1:0", "--base-domain", "apps.example.com"];
    let mut builder = Server::builder().args(arguments).settings(settings);
    if let Some(folder) = folder {
        builder = builder.folder(folder);
    }
    let server = builder.start().await;
    place.http.open(server.http().parse().expect("an address"));
    place.https.open(https(&server));
    if folder.is_none() {
        server.deploy(&Script::module("hello", HELLO)).await;
    }
    server
}

pub(crate) fn https(server: &Server) -> SocketAddr {
    let text = fs::read(server.folder().path().join("run/addresses.json")).expect("read addresses.json");
    let addresses: Value = serde_json::from_slice(&text).expect("JSON");
    let https = addresses["https"].as_str().expect("an address for https");
    https.strip_prefix("https://").expect("an origin").parse().expect("an address")
}

/// Gives `hello` a custom domain.
pub(crate) async fn add_domain(server: &Server, host: &str) -> String {
    let origin = json!({"hostname": host, "service": "hello", "environment": "production"});
    let made =
        server.api(Method::PUT, "/accounts/{account}/workers/domains", Some(&origin)).await.expect(200);
    made.json()["result"]["id"].as_str().expect("an id").to_owned()
}

/// Whether curl reaches a Worker at a host with a certificate that `root` vouches for.
pub(crate) fn is_trusted(server: &Server, host: &str, root: &str) -> bool {
    let door = https(server);
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert", root, "--resolve"]);
    curl.arg(format!("{host}:{}:127.0.0.1", door.port())).arg(format!("https://{host}:{}/", door.port()));
    let output = curl.output().expect("run curl (Debian: curl)");
    assert!(!output.status.success() || output.stdout == b"hello /", "{output:?}");
    output.status.success()
}

pub(crate) fn obtained(host: &str) -> String {
    format!("Obtained a certificate for `{host}`")
}

/// How often a certificate was obtained for a host.
pub(crate) fn count(server: &Server, host: &str) -> usize {
    server.log().lines().iter().filter(|line| line.contains(&obtained(host))).count()
}

pub(crate) async fn metrics(server: &Server) -> String {
    let request = http::Request::get("/metrics").header(http::header::HOST, server.api_address());
    let request = request.body(bytes::Bytes::new()).expect("a request");
    testkit::send(server.api_address(), request).await.expect(200).text()
}

/// What `skerry doctor` says about a data folder.
pub(crate) fn doctor(folder: &Path) -> String {
    let mut doctor = command(env!("CARGO_BIN_EXE_skerry"));
    doctor.arg("doctor").arg("--data").arg(folder).arg("--config").arg(folder.join("settings.toml"));
    doctor.env("SKERRY_WORKERD", testkit::Clients::find().workerd());
    String::from_utf8(doctor.output().expect("run skerry").stdout).expect("text")
}
