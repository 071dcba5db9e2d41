//! What a Worker sees of a request, and a client of an answer.

use std::convert::Infallible;

use http::{Request, Version};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ingress::{Client, Inbound, Scheme};

use crate::support::{HOST, door, empty, in_time};

#[tokio::test]
async fn a_worker_sees_who_asked_and_how() {
    let door = door().await;
    let response = door.get("/path?x=1%202&y=/", &[("accept-encoding", "gzip, br"), ("x-own", "1")]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(door.notes.lines(), ["GET /path?x=1%202&y=/"]);
    let headers = door.notes.last_headers();
    let ray = response.headers()["cf-ray"].to_str().unwrap();
    let (digits, colo) = ray.split_once('-').unwrap();
    assert!(
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && colo == "LOC",
        "{ray}"
    );
    for (name, expected) in [
        ("host", HOST),
        ("x-own", "1"),
        ("accept-encoding", "gzip, br"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-skerry-proto", "http"),
        ("cf-visitor", r#"{"scheme":"http"}"#),
        ("cf-ray", ray),
    ] {
        assert_eq!(headers.get(name).unwrap(), expected, "{name}");
    }
    assert!(!headers.contains_key("x-forwarded-for"), "nobody forwarded");
    let cf: serde_json::Value = serde_json::from_slice(headers["x-skerry-cf"].as_bytes()).unwrap();
    let expected = serde_json::json!({
        "colo": "LOC", "httpProtocol": "HTTP/1.1", "requestPriority": "", "clientAcceptEncoding": "gzip, br",
    });
    assert_eq!(cf, expected);
}

#[tokio::test]
async fn what_a_client_forges_is_replaced_or_removed() {
    let door = door().await;
    let forged = [
        ("cf-connecting-ip", "1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("cf-ray", "0"),
        ("cf-visitor", "x"),
        ("cf-ipcountry", "DE"),
        ("cf-worker", "evil"),
        ("cf-ew-via", "1"),
        ("true-client-ip", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-skerry-proto", "https"),
        ("x-skerry-cf", "{}"),
        ("x-skerry-anything", "1"),
        ("x-forwarded-for", "9.9.9.9"),
        ("cf-access-client-id", "mine"),
    ];
    door.get("/", &forged).await;
    let headers = door.notes.last_headers();
    for gone in ["cf-ipcountry", "cf-worker", "cf-ew-via", "true-client-ip", "x-skerry-anything"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    for (name, expected) in [
        ("cf-connecting-ip", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-skerry-proto", "http"),
        ("x-forwarded-for", "9.9.9.9, 127.0.0.1"),
        ("cf-access-client-id", "mine"),
    ] {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, [expected], "{name}");
    }
    assert_ne!(headers["cf-ray"], "0");
    assert_ne!(headers["x-skerry-cf"], "{}");
}

#[tokio::test]
async fn headers_of_a_connection_stay_on_it() {
    let door = door().await;
    let request = "GET /hop HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close, X-Private, Host\r\nX-Private: 1\r\n\
        Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: x\r\nX-Own: kept\r\n\r\n";
    let response = door.raw(request).await.to_ascii_lowercase();
    let headers = door.notes.last_headers();
    for gone in
        ["connection", "x-private", "keep-alive", "te", "proxy-connection", "proxy-authorization", "upgrade"]
    {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!((&headers["x-own"], &headers["host"]), (&"kept".parse().unwrap(), &HOST.parse().unwrap()));
    for gone in ["keep-alive:", "proxy-authenticate:", "x-skerry-"] {
        assert!(!response.contains(gone), "{gone} in {response}");
    }
    assert!(response.contains("x-own: kept\r\n") && response.contains("server: skerry\r\n"), "{response}");
    assert!(response.contains("\r\ndate: "), "{response}");
}

#[tokio::test]
async fn http2_is_understood_without_asking() {
    let door = door().await;
    let mut client = door.http2().await;
    let request = Request::get("http://hello.localhost/two?x")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(empty())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    let headers = door.notes.last_headers();
    assert_eq!(door.notes.lines(), ["GET /two?x"]);
    assert_eq!(headers["host"], HOST);
    assert_eq!(headers["cookie"], "a=1; b=2");
    assert!(headers["x-skerry-cf"].to_str().unwrap().contains(r#""httpProtocol":"HTTP/2""#));

    let differing =
        Request::get("http://hello.localhost/").header("host", "other.localhost").body(empty()).unwrap();
    assert_eq!(client.send_request(differing).await.unwrap().status(), 400);
    assert_eq!(door.notes.lines().len(), 1);
}

#[tokio::test]
async fn the_host_is_found_in_any_case_with_any_port_and_a_final_dot() {
    let door = door().await;
    for host in ["hello.localhost:8787", "HELLO.localhost", "hello.localhost.", "hello.localhost.:1"] {
        let response = door.raw_then_end(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{host}: {response}");
        assert_eq!(door.notes.last_headers()["host"], host);
    }
}

#[tokio::test]
async fn an_absolute_target_decides_over_the_host_header() {
    let door = door().await;
    let request = "GET http://hello.localhost/a?b HTTP/1.1\r\nHost: other.localhost\r\n\r\n";
    let response = door.raw_then_end(request).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(door.notes.lines(), ["GET /a?b"]);
    assert_eq!(door.notes.last_headers()["host"], HOST);
}

#[tokio::test]
async fn head_is_answered_without_a_body_and_the_connection_goes_on() {
    let door = door().await;
    let request = "HEAD /hop HTTP/1.1\r\nHost: hello.localhost\r\n\r\nGET /hop HTTP/1.1\r\nHost: hello.localhost\r\n\
        Connection: close\r\n\r\n";
    let response = door.raw(request).await;
    assert_eq!(response.matches("HTTP/1.1 200").count(), 2, "{response}");
    assert_eq!(response.matches("content-length: 2\r\n").count(), 2, "{response}");
    assert_eq!(response.matches("\r\n\r\nok").count(), 1, "{response}");
    assert_eq!(door.notes.lines(), ["HEAD /hop", "GET /hop"]);
}

#[tokio::test]
async fn http_1_0_is_answered_in_kind() {
    let door = door().await;
    let response = door.raw("GET /hop HTTP/1.0\r\nHost: hello.localhost\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.0 200") && response.ends_with("\r\n\r\nok"), "{response}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let door = door().await;
    let mut stream = tokio::net::TcpStream::connect(door.address).await.unwrap();
    let head = "POST /count HTTP/1.1\r\nHost: hello.localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\
        Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    in_time(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let response = crate::support::read_to_end(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("3 bytes"), "{response}");
    assert!(!door.notes.last_headers().contains_key("expect"));
}

#[tokio::test]
async fn paths_of_the_platform_never_reach_a_worker() {
    let door = door().await;
    let trace = door.get("/cdn-cgi/trace", &[("user-agent", "test")]).await;
    let text = String::from_utf8(trace.body().to_vec()).unwrap();
    for line in
        ["h=hello.localhost", "ip=127.0.0.1", "visit_scheme=http", "uag=test", "colo=LOC", "http=http/1.1"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert_eq!(door.get("/cdn-cgi/handler/scheduled", &[]).await.status(), 404);
    assert_eq!(door.get("/cdn-cgi/", &[]).await.status(), 404);
    assert!(door.notes.lines().is_empty());
}

#[tokio::test]
async fn each_answer_is_counted() {
    let door = door().await;
    door.get("/", &[]).await;
    door.get("/threw", &[]).await;
    for figure in [
        "skerry_ingress_requests_total{class=\"2xx\"} 1",
        "skerry_ingress_requests_total{class=\"5xx\"} 1",
        "skerry_ingress_errors_total{error=\"worker_threw_exception\"} 1",
        "skerry_ingress_request_seconds_count 2",
        "skerry_ingress_connections_total 2",
    ] {
        door.shows(figure);
    }
}

#[tokio::test]
async fn a_chunked_request_is_chunked_again() {
    let door = door().await;
    let (pieces, body) = crate::support::pieces();
    let request = Request::post("/echo").header("host", HOST).body(body).unwrap();
    let mut client = door.http1().await;
    let sent = client.send_request(request);
    pieces.send("abc".into()).await.unwrap();
    drop(pieces);
    let response = in_time(sent).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
    let headers = door.notes.last_headers();
    assert_eq!(headers["transfer-encoding"], "chunked");
    assert!(!headers.contains_key("content-length"));
}

/// Asks as the egress does for a Worker that fetches one of our hosts.
async fn ask_from_inside(door: &crate::support::Door, headers: &[(&str, &str)]) -> u16 {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let ingress = door.ingress.clone();
    let client = Client::worker("2001:db8::1".parse().unwrap(), Scheme::Https);
    let service = service_fn(move |request| {
        let (ingress, client) = (ingress.clone(), client.clone());
        async move { Ok::<_, Infallible>(ingress.handle(&client, request.map(Inbound::Client)).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
        let mut request = Request::get("https://hello.localhost/inside").header("host", HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = sender.send_request(request.body(empty()).unwrap());
        let (response, _) = tokio::join!(
            async {
                let status = sent.await.unwrap().status();
                drop(sender);
                status
            },
            connection
        );
        response.as_u16()
    };
    let (status, _) = in_time(async { tokio::join!(exchange, connection) }).await;
    status
}

#[tokio::test]
async fn a_workers_own_request_is_dispatched_inside_up_to_the_loop_limit() {
    let door = door().await;
    assert_eq!(ask_from_inside(&door, &[]).await, 200);
    let headers = door.notes.last_headers();
    assert_eq!(door.notes.lines(), ["GET /inside"]);
    for (name, expected) in [
        ("host", HOST),
        ("cf-ew-via", "15"),
        ("x-skerry-proto", "https"),
        ("cf-visitor", r#"{"scheme":"https"}"#),
        ("cf-connecting-ip", "2001:db8::1"),
    ] {
        assert_eq!(headers[name], expected, "{name}");
    }
    assert_eq!(ask_from_inside(&door, &[("cf-ew-via", "1")]).await, 200);
    assert_eq!(door.notes.last_headers()["cf-ew-via"], "0");
    assert_eq!(ask_from_inside(&door, &[("cf-ew-via", "0")]).await, 500);
    assert_eq!(door.notes.lines().len(), 2);
    door.shows("skerry_ingress_errors_total{error=\"worker_loop_limit\"} 1");
}

#[tokio::test]
async fn trailers_are_dropped() {
    let door = door().await;
    let request = "POST /count HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Own\r\n\
        TE: trailers\r\n\r\n3\r\nabc\r\n0\r\nX-Own: 1\r\nHost: other.localhost\r\n\r\n";
    let response = door.raw_then_end(request).await;
    assert!(response.ends_with("3 bytes"), "{response}");
    let headers = door.notes.last_headers();
    assert!(!headers.contains_key("trailer") && !headers.contains_key("x-own") && headers["host"] == HOST);
}
