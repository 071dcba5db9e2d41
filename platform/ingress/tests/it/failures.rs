//! What a client sees when no Worker answers, and which requests are sent again.

use engine::StartError;
use http::{Request, StatusCode};

use crate::{
    process::Mishap,
    support::{Door, HOST, door, door_with, empty, in_time, log_lines, pieces},
};

/// The page in all its forms, and the one log line that its ray finds.
async fn check(
    door: &Door,
    host: &str,
    path: &str,
    mishap: Option<Mishap>,
    status: u16,
    code: u16,
    level: &str,
) {
    for (accept, content_type) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("application/problem+json, */*", "application/problem+json; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
    ] {
        door.mishaps.lock().unwrap().extend(mishap.clone());
        let request = Request::get(path).header("host", host).header("accept", accept).body(empty()).unwrap();
        let response = door.http1().await.send_request(request).await.unwrap();
        let name = format!("{host}{path} as {accept}");
        assert_eq!(response.status().as_u16(), status, "{name}");
        assert_eq!(response.headers()["content-type"], content_type, "{name}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{name}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{name}");
        let ray = response.headers()["cf-ray"].to_str().unwrap().split('-').next().unwrap().to_owned();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains(&ray), "{name}: {text}");
        if content_type.starts_with("text/html") {
            assert!(text.contains(&format!("Error {code}<")), "{name}: {text}");
            let placeholders = ["{title}", "{code}", "{detail}", "{advice}", "{host}", "{ray}", "{time}"];
            assert!(!placeholders.iter().any(|place| text.contains(place)), "{name}: {text}");
        } else if content_type.starts_with("text/plain") {
            assert!(text.starts_with(&format!("error code: {code}\n")), "{name}: {text}");
        } else {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status, "{name}");
            assert_eq!(problem["error_code"], code, "{name}");
            assert_eq!(problem["ray_id"], ray, "{name}");
            assert_eq!(problem["instance"], ray, "{name}");
            for field in ["type", "title", "detail", "error_name", "timestamp"] {
                assert!(problem[field].is_string(), "{name}: {field}");
            }
            assert!(problem["retryable"].is_boolean(), "{name}");
        }
        let lines: Vec<_> = log_lines(&ray).into_iter().filter(|line| !line.contains("Answered")).collect();
        assert!(lines.len() == 1 && lines[0].contains(level), "{name}: {lines:?}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_404_with_code_1042() {
    let door = door().await;
    check(&door, "nobody.localhost:8787", "/", None, 404, 1042, "DEBUG").await;
    check(&door, "127.0.0.1", "/", None, 404, 1042, "DEBUG").await;
}

#[tokio::test]
async fn a_worker_without_deployment_is_404_in_its_own_words() {
    let door = door().await;
    check(&door, "empty.localhost", "/", None, 404, 1042, "DEBUG").await;
    let request = Request::get("/").header("host", "empty.localhost").body(empty()).unwrap();
    let response = door.http1().await.send_request(request).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("none of its versions is deployed"));
}

#[tokio::test]
async fn a_worker_that_threw_is_500_with_code_1101() {
    let door = door().await;
    check(&door, HOST, "/threw", None, 500, 1101, "WARN").await;
}

#[tokio::test]
async fn a_workers_own_500_is_left_alone() {
    let door = door().await;
    let response = door.get("/own-500", &[]).await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (500, &b"Internal Server Error"[..]));
}

#[tokio::test]
async fn a_worker_that_cannot_start_is_500_with_code_1101_and_tells_visitors_no_reason() {
    let door = door().await;
    let rejected = Mishap::Start(StartError::Rejected("Uncaught Error: secret place".to_owned()));
    check(&door, HOST, "/", Some(rejected.clone()), 500, 1101, "WARN").await;
    door.mishaps.lock().unwrap().push_back(rejected);
    let response = door.get("/", &[]).await;
    assert!(!String::from_utf8_lossy(response.body()).contains("secret"));
    let ray = response.headers()["cf-ray"].to_str().unwrap();
    assert!(log_lines(ray).iter().any(|line| line.contains("secret place")));
}

#[tokio::test]
async fn an_engine_that_is_down_is_503_with_retry_after() {
    let door = door().await;
    let unavailable = Mishap::Start(StartError::Unavailable("no engine is installed".to_owned()));
    check(&door, HOST, "/", Some(unavailable), 503, 1022, "ERROR").await;
}

#[tokio::test]
async fn a_process_that_dies_without_an_answer_is_502_with_code_1105() {
    let door = door().await;
    check(&door, HOST, "/die", None, 502, 1105, "WARN").await;
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let door = door().await;
    assert_eq!(door.get("/unasked-101", &[]).await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_request_of_which_nothing_was_sent_is_sent_again_whatever_it_is() {
    let door = door().await;
    door.mishaps.lock().unwrap().extend([Mishap::Unsent, Mishap::Unsent]);
    let request = Request::post("/echo").header("host", HOST).body("kept".to_owned().map_body()).unwrap();
    let response = door.http1().await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "kept");
    assert_eq!(door.notes.lines(), ["POST /echo"]);
}

#[tokio::test]
async fn a_request_that_no_process_takes_is_given_up_after_three_attempts() {
    let door = door().await;
    door.mishaps.lock().unwrap().extend([Mishap::Unsent, Mishap::Unsent, Mishap::Unsent, Mishap::Unsent]);
    assert_eq!(door.get("/", &[]).await.status(), 503);
    assert_eq!(door.mishaps.lock().unwrap().len(), 1);
    assert!(door.notes.lines().is_empty());
}

#[tokio::test]
async fn only_get_and_head_without_a_body_are_repeated_and_only_once() {
    let door = door().await;
    let cases = [
        ("GET", "/die", "", 2),
        ("HEAD", "/die", "", 2),
        ("GET", "/die-after-body", "body", 1),
        ("POST", "/die", "", 1),
        ("PUT", "/die-after-body", "body", 1),
        ("DELETE", "/die", "", 1),
    ];
    for (method, path, body, times) in cases {
        let before = door.notes.lines().len();
        let request =
            Request::builder().method(method).uri(path).header("host", HOST).body(body.to_owned().map_body());
        let response = door.http1().await.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 502, "{method} {path}");
        assert_eq!(door.notes.lines().len() - before, times, "{method} {path}");
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_repeated() {
    let door = door().await;
    let (pieces, body) = pieces();
    let request = Request::post("/echo").header("host", HOST).body(body).unwrap();
    let mut client = door.http1().await;
    let sent = client.send_request(request);
    pieces.send("begun".into()).await.unwrap();
    let mut response = in_time(sent).await.unwrap();
    let ray = response.headers()["cf-ray"].to_str().unwrap().to_owned();
    assert_eq!(crate::support::read_exactly(response.body_mut(), 5).await, b"begun");
    door.stop_process().await;
    let rest = in_time(http_body_util::BodyExt::frame(response.body_mut())).await;
    assert!(rest.is_none_or(|frame| frame.is_err()));
    assert_eq!(door.notes.lines().len(), 1);
    let lines = log_lines(&ray);
    assert!(lines.iter().any(|line| line.contains("WARN") && line.contains("broke off")), "{lines:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let door = door_with(|settings| settings.body_bytes_max = 1000).await;
    let announced = "POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1001\r\n\r\n";
    let response = door.raw(announced).await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    let chunk = format!("{:x}\r\n{}\r\n", 600, "a".repeat(600));
    let head = "POST / HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = door.raw(format!("{head}{chunk}{chunk}0\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    let exact = format!(
        "POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1000\r\n\r\n{}",
        "a".repeat(1000)
    );
    assert!(door.raw_then_end(exact).await.starts_with("HTTP/1.1 200"));
}

trait MapBody {
    fn map_body(self) -> crate::support::RequestStream;
}

impl MapBody for String {
    fn map_body(self) -> crate::support::RequestStream {
        use http_body_util::BodyExt;
        http_body_util::Full::new(self.into())
            .map_err(|never: std::convert::Infallible| match never {})
            .boxed_unsync()
    }
}
