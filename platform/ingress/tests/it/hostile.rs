//! Requests meant to be understood differently by us and by whoever is behind us: each is refused, or passed on in one
//! plain form, and never becomes two.

use crate::support::{Door, door, in_time};

/// A request that an attacker would like to see behind another one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: hello.localhost\r\n\r\n";

/// Sends `request`, expects its status and the end of the connection, and says what reached the process.
async fn check(door: &Door, request: &str, status: u16, reached: &[&str]) -> String {
    let before = door.notes.lines().len();
    let response = door.raw(request).await;
    let begin = format!("HTTP/1.1 {status} ");
    assert!(response.starts_with(&begin), "{request:?} gave {response:?}");
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{request:?} gave {response:?}");
    assert_eq!(door.notes.lines()[before..], *reached, "{request:?}");
    response
}

#[tokio::test]
async fn unequal_lengths_are_refused() {
    let door = door().await;
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: hello.localhost\r\n{lengths}\r\nabc{SMUGGLED}");
        check(&door, &request, 400, &[]).await;
    }
}

#[tokio::test]
async fn folded_headers_are_refused() {
    let door = door().await;
    for fold in
        ["X: 1\r\n 2\r\n", "X: 1\r\n\t2\r\n", " X: 1\r\n", "X : 1\r\n", "Transfer-Encoding\r\n : chunked\r\n"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: hello.localhost\r\n{fold}\r\n{SMUGGLED}");
        check(&door, &request, 400, &[]).await;
    }
}

#[tokio::test]
async fn transfer_codings_other_than_chunked_are_refused() {
    let door = door().await;
    for coding in [
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \u{b}chunked",
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: hello.localhost\r\n{coding}\r\n\r\n0\r\n\r\n{SMUGGLED}");
        check(&door, &request, 400, &[]).await;
    }
    let old = "POST / HTTP/1.0\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let response = door.raw(format!("{old}{SMUGGLED}")).await;
    assert!(response.contains(" 400 ") && door.notes.lines().is_empty(), "{response}");
}

#[tokio::test]
async fn of_length_and_coding_the_coding_counts_and_the_connection_ends() {
    let door = door().await;
    for both in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 999\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let request = format!(
            "POST /count HTTP/1.1\r\nHost: hello.localhost\r\n{both}\r\n3\r\nabc\r\n0\r\n\r\n{SMUGGLED}"
        );
        let response = check(&door, &request, 200, &["POST /count"]).await;
        assert!(response.ends_with("\r\n\r\n3 bytes"), "{response}");
        assert!(response.contains("connection: close\r\n"), "{response}");
        let headers = door.notes.last_headers();
        assert!(headers.contains_key("transfer-encoding") && !headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn broken_chunks_end_the_request_and_the_connection() {
    let door = door().await;
    for chunks in [
        "x\r\nabc\r\n",
        "3\r\nabcd\r\n",
        "-3\r\nabc\r\n",
        "fffffffffffffffff\r\nabc\r\n",
        "3\nabc\n",
        "3 3\r\nabc\r\n",
    ] {
        let head = "POST /count HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = door.raw(format!("{head}{chunks}0\r\n\r\n{SMUGGLED}")).await;
        assert!(!response.contains(" 200 "), "{chunks:?}: {response:?}");
        assert!(!door.notes.lines().contains(&"GET /smuggled".to_owned()), "{chunks:?}");
    }
}

#[tokio::test]
async fn a_missing_double_or_malformed_host_is_refused() {
    let door = door().await;
    for hosts in [
        "",
        "Host: hello.localhost\r\nHost: hello.localhost\r\n",
        "Host: hello.localhost\r\nhost: other.localhost\r\n",
        "Host:\r\n",
        "Host: hello.localhost, other.localhost\r\n",
        "Host: user@hello.localhost\r\n",
        "Host: hello.localhost/x\r\n",
        "Host: hello.localhost:x\r\n",
        "Host: hel lo.localhost\r\n",
        "Host: <script>\r\n",
    ] {
        check(&door, &format!("GET / HTTP/1.1\r\n{hosts}\r\n{SMUGGLED}"), 400, &[]).await;
    }
    for target in ["http://user@hello.localhost/", "http://hello.localhost:99999999/"] {
        check(&door, &format!("GET {target} HTTP/1.1\r\nHost: hello.localhost\r\n\r\n{SMUGGLED}"), 400, &[])
            .await;
    }
    check(&door, &format!("GET http://hello.localhost/ HTTP/1.1\r\n\r\n{SMUGGLED}"), 400, &[]).await;
    let old = door.raw("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 400 "), "{old}");
}

#[tokio::test]
async fn control_characters_are_refused() {
    let door = door().await;
    for bytes in
        ["X: a\0b\r\n", "X: a\u{1}b\r\n", "X\0: a\r\n", "X: a\rb\r\n", "X: a\u{7f}b\r\n", "X(: a\r\n"]
    {
        check(&door, &format!("GET / HTTP/1.1\r\nHost: hello.localhost\r\n{bytes}\r\n{SMUGGLED}"), 400, &[])
            .await;
    }
    for line in [
        "GET /a\0b HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET  / HTTP/1.1",
        "GET / HTTPS/1.1",
    ] {
        check(&door, &format!("{line}\r\nHost: hello.localhost\r\n\r\n{SMUGGLED}"), 400, &[]).await;
    }
}

#[tokio::test]
async fn bare_line_feeds_are_accepted_and_written_anew() {
    let door = door().await;
    let request = "GET /plain HTTP/1.1\nHost: hello.localhost\nX-Own: 1\nConnection: close\n\n";
    check(&door, request, 200, &["GET /plain"]).await;
    assert_eq!(door.notes.last_headers()["x-own"], "1");
}

#[tokio::test]
async fn headers_and_addresses_have_a_limit() {
    let door = door().await;
    let request = |target: &str, header: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: hello.localhost\r\nX: {header}\r\nConnection: close\r\n\r\n{SMUGGLED}"
        )
    };
    check(&door, &request("/", &"a".repeat(120 * 1024)), 200, &["GET /"]).await;
    check(&door, &request("/", &"a".repeat(128 * 1024)), 431, &[]).await;
    check(&door, &request("/", &"a".repeat(1024 * 1024)), 431, &[]).await;
    check(&door, &request("/", &"b\r\nY: ".repeat(100)), 431, &[]).await;
    let longest = format!("/{}", "a".repeat(16 * 1024 - 1));
    check(&door, &request(&longest, "1"), 200, &[format!("GET {longest}").as_str()]).await;
    check(&door, &request(&format!("{longest}a"), "1"), 414, &[]).await;
    check(&door, &request(&format!("/{}", "a".repeat(70_000)), "1"), 414, &[]).await;
}

#[tokio::test]
async fn what_is_never_for_a_worker_is_refused() {
    let door = door().await;
    check(
        &door,
        &format!("CONNECT hello.localhost:80 HTTP/1.1\r\nHost: hello.localhost:80\r\n\r\n{SMUGGLED}"),
        405,
        &[],
    )
    .await;
    check(&door, &format!("TRACE / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n{SMUGGLED}"), 405, &[]).await;
    check(&door, &format!("OPTIONS * HTTP/1.1\r\nHost: hello.localhost\r\n\r\n{SMUGGLED}"), 400, &[]).await;
}

#[tokio::test]
async fn a_body_that_looks_like_a_request_stays_a_body() {
    let door = door().await;
    let length = SMUGGLED.len();
    for upgrade in
        ["", "Upgrade: websocket\r\nConnection: upgrade\r\n", "Upgrade: h2c\r\nConnection: upgrade\r\n"]
    {
        let head = format!(
            "GET /echo HTTP/1.1\r\nHost: hello.localhost\r\n{upgrade}Content-Length: {length}\r\n\r\n"
        );
        let before = door.notes.lines().len();
        let response = in_time(door.raw_then_end(format!("{head}{SMUGGLED}"))).await;
        assert!(response.ends_with(SMUGGLED), "{response}");
        assert_eq!(door.notes.lines()[before..], ["GET /echo"]);
        assert!(!door.notes.last_headers().contains_key("upgrade"));
    }
}
