//! The official SDKs on our API: each runs a program of `testing/clients` that checks every answer itself.

use std::{path::Path, process::Command};

use testkit::{Clients, Server, command, skip};

/// Runs a program that speaks to the server, to its end; what it printed.
pub(crate) async fn run(server: &Server, mut program: Command) -> String {
    program.env_clear().env("LANG", "C.UTF-8").envs(server.environment());
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("no panic");
    let output = output.expect("start the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{errors}");
    printed
}

pub(crate) fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/clients").join(name)
}

#[tokio::test]
async fn the_javascript_sdk_keeps_namespaces_keys_and_values() {
    let server = Server::start().await;
    let clients = Clients::find();
    let mut node = command(clients.node());
    node.arg(script("sdk-kv.mjs")).arg(clients.modules());
    run(&server, node).await;
    server.stop().await;
}

#[tokio::test]
async fn the_python_sdk_keeps_namespaces_keys_and_values() {
    let Some(python) = Clients::find().python() else { return skip_python() };
    let server = Server::start().await;
    let mut python = command(python);
    python.arg("-B").arg(script("sdk_kv.py"));
    run(&server, python).await;
    server.stop().await;
}

pub(crate) fn skip_python() {
    skip("Python clients: no virtual environment on this machine (Debian: apt-get install python3-venv)");
}
