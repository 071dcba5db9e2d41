//! The official SDKs on our API.

use testkit::Server;

#[tokio::test]
async fn the_javascript_sdk_keeps_namespaces_keys_and_values() {
    let server = Server::start().await;
    server.run_node("sdk-kv.mjs").await;
    server.stop().await;
}

#[tokio::test]
async fn the_python_sdk_keeps_namespaces_keys_and_values() {
    let server = Server::start().await;
    server.run_python("sdk_kv.py").await;
    server.stop().await;
}
