//! An alarm fires once its time has come, though nobody touches the object and no process runs: after sleep, after a crash
//! of the process, after a crash of the server; and again until its handler has succeeded.

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Server, wait_until, within};

use crate::support::{SOON, ask, counter, signal, until_processes};

/// Long enough to fall asleep, or to be killed, before it is due.
const LATER_MS: u64 = 4_000;

#[tokio::test]
async fn an_alarm_wakes_a_process_that_sleeps() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    server.deploy(&counter("one")).await;
    // Far enough for the process to be put to sleep before.
    let far_ms = 14_000;
    let due = ask(&server, &format!("/sleeper/alarm?ms={far_ms}")).await.as_u64().expect("a time");
    until_processes(&server, 0).await;
    let limit = std::time::Duration::from_millis(far_ms) + SOON;
    wait_until("the start for the alarm", limit, || !server.children().is_empty()).await;
    let fired = until_fired(&server, "sleeper", 1).await;
    let late_ms = fired[0]["at"].as_u64().expect("a time").saturating_sub(due);
    assert!(late_ms < 5_000, "it fired {late_ms} ms late");
    server.stop().await;
}

#[tokio::test]
async fn an_alarm_survives_the_crash_of_the_process_and_of_the_server() {
    let server = Server::start().await;
    server.log().expect("Worker's process ended unasked");
    server.deploy(&counter("one")).await;
    ask(&server, &format!("/a/alarm?ms={LATER_MS}")).await;
    signal(&server.children()[0], Signal::KILL);
    wait_until("the start for the alarm", SOON, || {
        // The dead one may still be listed.
        server.children().iter().any(|child| child.is_alive())
    })
    .await;
    until_fired(&server, "a", 1).await;

    ask(&server, &format!("/b/alarm?ms={LATER_MS}")).await;
    let folder = server.kill().await;
    let server = Server::builder().folder(&folder).start().await;
    assert!(server.children().is_empty(), "nobody has asked for it yet");
    wait_until("the start for the alarm", SOON, || !server.children().is_empty()).await;
    until_fired(&server, "b", 1).await;
    assert_eq!(ask(&server, "/a/fired").await["fired"].as_array().map(Vec::len), Some(1), "it fired once");
    server.stop().await;
}

#[tokio::test]
async fn an_alarm_that_fails_is_repeated_with_growing_pauses_and_then_forgotten() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    server.deploy(&counter("one")).await;
    ask(&server, "/failing/alarm?ms=100&failures=2").await;
    let fired = until_fired(&server, "failing", 3).await;
    let at: Vec<u64> = fired.iter().filter_map(|fired| fired["at"].as_u64()).collect();
    let retries: Vec<u64> = fired.iter().filter_map(|fired| fired["retries"].as_u64()).collect();
    assert_eq!(retries, [0, 1, 2]);
    assert!(1_000 <= at[1] - at[0] && at[1] - at[0] < at[2] - at[1], "{at:?}");
    until_processes(&server, 0).await;
    assert_eq!(ask(&server, "/failing/fired").await["alarm"], Value::Null);
    server.stop().await;
}

async fn until_fired(server: &Server, name: &str, count: usize) -> Vec<Value> {
    within("the alarm", SOON * 2, async {
        loop {
            let fired =
                ask(server, &format!("/{name}/fired")).await["fired"].as_array().cloned().unwrap_or_default();
            if count <= fired.len() {
                return fired;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
}
