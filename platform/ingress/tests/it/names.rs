//! No spelling of a host leads to another host's Worker, and a Worker sees the host by which it was found.

use model::VersionId;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{
    process::VERSION,
    support::{HOST, SPLIT_HOST, door, halves, idle},
};

/// Hosts and what may be taken for one.
const NAMES: [&str; 16] = [
    "hello.localhost",
    "hello.localhost",
    "split.localhost",
    "split.localhost",
    "HELLO.localhost",
    "hello.localhost.",
    "hello.localhost..",
    "split.localhost:80",
    "split.localhost:",
    "hello.localhost:80:80",
    "split.localhost@hello.localhost",
    "hello.localhost,split.localhost",
    "hello.localhost#split.localhost",
    "hello.localhost%00.split.localhost",
    "split.localhost\t",
    "[hello.localhost]",
];

fn name() -> impl Strategy<Value = &'static str> {
    select(NAMES.to_vec())
}

fn request() -> impl Strategy<Value = String> {
    let form = select(vec![
        "/",
        "/",
        "/",
        "//N/",
        "http://N/",
        "https://N/",
        "http://x@N/",
        "http:/N/",
        "N/",
        "N",
        "*",
    ]);
    let line = select(vec![
        "Host: N",
        "Host: N",
        "Host: N",
        "Host : N",
        "Host:N",
        "host:  N  ",
        "Host: N\r\n N",
        "X: N",
    ]);
    let lines = prop::collection::vec((line, name()), 0..3);
    (form, name(), lines).prop_map(|(form, name, lines)| {
        let lines: String = lines.iter().map(|(line, name)| line.replace('N', name) + "\r\n").collect();
        format!("GET {} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n", form.replace('N', name))
    })
}

// PROPTEST_CASES makes this a long run.
#[test]
fn a_worker_is_reached_by_its_own_host_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let door = runtime.block_on(door());
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&request(), |request| {
        let before = door.notes.lines().len();
        let response = runtime.block_on(door.raw(&request));
        let reached = door.notes.lines().len() - before;
        prop_assert!(reached <= 1, "{response}");
        prop_assert_eq!(reached == 1, response.starts_with("HTTP/1.1 200 "), "{}", response);
        if reached == 1 {
            let headers = door.notes.last_headers();
            prop_assert_eq!(headers.get_all("host").iter().count(), 1);
            let host = headers["host"].to_str().unwrap().to_ascii_lowercase();
            let name = host.split(':').next().unwrap().trim_end_matches('.');
            let version: VersionId = headers[VERSION].to_str().unwrap().parse().unwrap();
            let is_split = halves().contains(&version) || version == idle();
            prop_assert_eq!(name, if is_split { SPLIT_HOST } else { HOST });
        }
        Ok(())
    });
    outcome.unwrap();
}
