//! What the server itself takes while its Workers sleep.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::time::Duration;

use testkit::Server;

use crate::support::{saying, until_processes};

const WORKERS: usize = 10;

/// The promise is 30 MiB resident by the release build, program and all: a row of `cargo xtask bench`. A debug build's
/// program is several times as large, so what is held here is the rest: heaps and stacks.
const ANONYMOUS_BYTES_MAX: u64 = 10 * 1024 * 1024;

#[tokio::test]
async fn ten_workers_asleep_leave_the_server_small() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    for number in 0..WORKERS {
        let name = format!("sleeper-{number}");
        server.deploy(&saying(&name, &name)).await;
        let _ = server.get(&format!("{name}.localhost"), "/").await.expect(200);
    }
    until_processes(&server, 0, Duration::from_secs(30)).await;
    let (resident_bytes, anonymous_bytes) = (server.resident_bytes(), server.anonymous_bytes());
    println!("{WORKERS} Workers asleep: {} KiB resident", resident_bytes / 1024);
    println!("{WORKERS} Workers asleep: {} KiB of them heap and stack", anonymous_bytes / 1024);
    assert!(anonymous_bytes < ANONYMOUS_BYTES_MAX, "{anonymous_bytes} bytes");
    server.stop().await;
}
