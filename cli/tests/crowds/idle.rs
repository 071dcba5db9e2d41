//! Connections that do nothing.

use crate::support::{ask, connect, has_grown_less, others_are_served, raise_descriptor_limit, server};

const CONNECTIONS: usize = 10_000;

/// Measured: see "Limits" in the ingress's README.
const IDLE_BYTES_MAX: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_disturb_nobody() {
    raise_descriptor_limit();
    let server = server().await;
    let before = server.resident_bytes();
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut client = connect(&server).await;
        ask(&mut client).await;
        idle.push(client);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!(
        "{} bytes for each idle connection",
        grown / u64::try_from(CONNECTIONS).expect("a small number")
    );
    has_grown_less(&server, before, IDLE_BYTES_MAX * u64::try_from(CONNECTIONS).expect("a small number"));
    others_are_served(&server).await;
    // They are still there.
    for client in idle.iter_mut().step_by(100) {
        ask(client).await;
    }
    drop(idle);
    server.stop().await;
}
