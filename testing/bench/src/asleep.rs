//! What the server itself takes while its Workers sleep.

use std::time::Duration;

use testkit::{Script, Server};

use crate::sides::NOOP;

const WORKERS: usize = 10;

/// How long the Workers may take to fall asleep.
const SLEEP_LIMIT: Duration = Duration::from_secs(30);

/// Resident memory with ten Workers deployed, each of which answered once, in mebibytes.
pub(crate) async fn resident_mib() -> f64 {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    for number in 0..WORKERS {
        let name = format!("sleeper-{number}");
        server.deploy(&Script::module(&name, NOOP)).await;
        let _ = server.get(&format!("{name}.localhost"), "/").await.expect(200);
    }
    testkit::wait_until("all Workers sleep", SLEEP_LIMIT, || server.children().is_empty()).await;
    server.resident_bytes() as f64 / 1024.0 / 1024.0
}
