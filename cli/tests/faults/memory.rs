//! What the server itself takes while its Workers sleep.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::time::Duration;

use testkit::Server;

use crate::support::{saying, until_processes};

const WORKERS: usize = 10;

/// The promise; it is kept by debug builds too.
const RESIDENT_BYTES_MAX: u64 = 30 * 1024 * 1024;

#[tokio::test]
async fn a_server_with_ten_workers_asleep_is_smaller_than_thirty_mebibytes() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    for number in 0..WORKERS {
        let name = format!("sleeper-{number}");
        server.deploy(&saying(&name, &name)).await;
        let _ = server.get(&format!("{name}.localhost"), "/").await.expect(200);
    }
    until_processes(&server, 0, Duration::from_secs(30)).await;
    let resident_bytes = server.resident_bytes();
    println!("{} KiB resident with {WORKERS} Workers asleep", resident_bytes / 1024);
    assert!(resident_bytes < RESIDENT_BYTES_MAX, "{resident_bytes} bytes");
    server.stop().await;
}
