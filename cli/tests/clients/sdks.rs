//! The official SDKs on our API: each runs a program of `testing/clients` that checks every answer itself.

use std::path::Path;

use testkit::{Clients, Server, command};

#[tokio::test]
async fn the_javascript_sdk_keeps_namespaces_keys_and_values() {
    let server = Server::start().await;
    let clients = Clients::find();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/clients/sdk-kv.mjs");
    let mut node = command(clients.node());
    node.arg(script).arg(clients.modules()).env_clear().envs(server.environment());
    let output =
        tokio::task::spawn_blocking(move || node.output()).await.expect("no panic").expect("start Node");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", String::from_utf8_lossy(&output.stdout));
    server.stop().await;
}
