//! What a client sees of the envelope: JSON of any content type, uploads within limits, errors that are never plain text.

mod hostile;

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::{get, post},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use v4::{ApiError, Envelope, Json, MultipartLimits, Paging, no_route, read_multipart, wrong_method};

const LIMITS: MultipartLimits = MultipartLimits {
    parts_max: 3,
    part_bytes_max: 1000,
    total_bytes_max: 2000,
    read_timeout: Duration::from_secs(5),
};

async fn upload(request: Request) -> Result<Envelope<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let parts = read_multipart(&parts.headers, body, LIMITS).await?;
    let rows =
        parts.iter().map(|part| json!([part.name, part.filename, part.content_type, part.bytes.len()]));
    Ok(Envelope::new(rows.collect()))
}

fn router() -> Router {
    Router::new()
        .route("/echo", post(|Json(value): Json<Value>| async { Envelope::new(value) }))
        .route("/list", get(|paging: Paging| async move { paging.cut(vec![1, 2, 3]) }))
        .route("/upload", post(upload))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_route)
}

async fn call(method: &str, path: &str, content_type: &str, body: &[u8]) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
    let request = request.body(Body::from(body.to_vec())).expect("a well-formed exchange");
    let response = router().oneshot(request).await.expect("a well-formed exchange");
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a well-formed exchange");
    (status, serde_json::from_slice(&bytes).expect("every answer is an envelope"))
}

#[tokio::test]
async fn json_is_read_under_any_content_type() {
    for content_type in ["application/json", "text/plain;charset=UTF-8", "application/merge-patch+json"] {
        let (status, answer) = call("POST", "/echo", content_type, br#"{"a":1}"#).await;
        assert_eq!(status, StatusCode::OK, "{content_type}");
        let expected = json!({"success": true, "errors": [], "messages": [], "result": {"a": 1}});
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn every_refusal_is_an_envelope_with_a_code() {
    let cases = [
        ("POST", "/echo", "{", 400, 7400),
        ("GET", "/nowhere", "", 404, 7003),
        ("DELETE", "/echo", "", 405, 7001),
        ("GET", "/list?page=0", "", 400, 7400),
        ("GET", "/list?page=x", "", 400, 7400),
        ("GET", "/list?per_page=1001", "", 400, 7400),
        ("POST", "/upload", "", 400, 7400),
    ];
    for (method, path, body, status, code) in cases {
        let (actual, answer) = call(method, path, "text/plain", body.as_bytes()).await;
        assert_eq!(actual, status, "{method} {path}");
        assert_eq!(answer["success"], false);
        assert_eq!(answer["errors"][0]["code"], code, "{method} {path}");
    }
}

#[tokio::test]
async fn a_list_says_how_long_it_is() {
    let (_, answer) = call("GET", "/list?page=2&per_page=2", "", b"").await;
    assert_eq!(answer["result"], json!([3]));
    let expected = json!({"page": 2, "per_page": 2, "count": 1, "total_count": 3, "total_pages": 2});
    assert_eq!(answer["result_info"], expected);
}

fn part(name: &str, content: &str) -> String {
    format!(
        "--B\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"
    )
}

#[tokio::test]
async fn an_upload_is_read_part_by_part() {
    let body = format!("{}{}--B--\r\n", part("./a/b.txt", "héllo"), part("two", ""));
    let (status, answer) = call("POST", "/upload", "multipart/form-data; boundary=B", body.as_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!([["./a/b.txt", "./a/b.txt", "text/plain", 6], ["two", "two", "text/plain", 0]]);
    assert_eq!(answer["result"], expected);
}

#[tokio::test]
async fn a_bad_upload_is_refused_before_it_is_kept() {
    let big = "x".repeat(1001);
    let half = "x".repeat(990);
    let cases = [
        (String::new(), 400),
        ("no boundary here".to_owned(), 400),
        (part("cut", "short"), 400),
        ("--B\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n--B--\r\n".to_owned(), 400),
        (format!("{}--B--\r\n", part("big", &big)), 413),
        (format!("{0}{0}{0}--B--\r\n", part("half", &half)), 413),
        (format!("{0}{0}{0}{0}--B--\r\n", part("many", "x")), 413),
    ];
    for (body, expected) in cases {
        let (status, answer) =
            call("POST", "/upload", "multipart/form-data; boundary=B", body.as_bytes()).await;
        assert_eq!(status, expected, "{answer}");
        assert_eq!(answer["errors"][0]["code"], 7400);
    }
}
