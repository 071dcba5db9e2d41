//! The example `uploads` deploys with the real wrangler; a file goes from a page into the bucket and comes back in pieces.

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::json;
use testkit::{Answer, Project, Server, Wrangler, send};

const HOST: &str = "uploads.localhost";
/// The page, as the example's CORS rules name it.
const PAGE: &str = "http://uploads.localhost:8787";

#[tokio::test]
async fn a_page_uploads_straight_into_the_bucket_and_reads_pieces() {
    let server = Server::start().await;
    let project = Project::example("uploads");
    let environment = server.environment();
    let secrets = json!({
        "S3_ACCESS_KEY_ID": environment["AWS_ACCESS_KEY_ID"],
        "S3_SECRET_ACCESS_KEY": environment["AWS_SECRET_ACCESS_KEY"],
    });
    project.write("secrets.json", secrets.to_string());
    let wrangler =
        |words: &str| server.wrangler(Wrangler::New, project.path()).args(words.split_whitespace());
    wrangler("r2 bucket create uploads").succeed().await;
    wrangler("r2 bucket cors set uploads --file cors.json --force").succeed().await;
    let endpoint = format!("S3_ENDPOINT:{}", server.s3());
    wrangler("deploy --secrets-file secrets.json --var").args([endpoint.as_str()]).succeed().await;

    let page = ask(&server, Method::GET, "/", &[], "").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("type=\"file\""));
    let refused = json!({ "name": "../x", "type": "" }).to_string();
    let _ = ask(&server, Method::POST, "/sign", &[], refused).await.expect(400);

    let movie: Bytes = (0..200_000_u32).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    upload(&server, "my film.mp4", "video/mp4", movie.clone()).await;

    let listed = ask(&server, Method::GET, "/files", &[], "").await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let fields = ["name", "size", "type"].map(|name| listed[0][name].clone());
    assert_eq!(fields, [json!("my film.mp4"), json!(200_000), json!("video/mp4")]);

    let path = "/files/my%20film.mp4";
    let whole = ask(&server, Method::GET, path, &[], "").await.expect(200);
    assert!(whole.body == movie && whole.header("content-type") == "video/mp4");
    let sought = ask(&server, Method::GET, path, &[("range", "bytes=100000-100009")], "").await.expect(206);
    assert_eq!(sought.body, movie.slice(100_000..100_010));
    assert_eq!(sought.header("content-range"), "bytes 100000-100009/200000");
    let rest = ask(&server, Method::GET, path, &[("range", "bytes=199990-")], "").await.expect(206);
    assert_eq!(rest.body, movie.slice(199_990..));
    let end = ask(&server, Method::GET, path, &[("range", "bytes=-10")], "").await.expect(206);
    assert_eq!(
        (&end.body, end.header("content-range")),
        (&movie.slice(199_990..), "bytes 199990-199999/200000")
    );
    // What a player asks first, to learn whether it may seek.
    let all = ask(&server, Method::GET, path, &[("range", "bytes=0-")], "").await.expect(206);
    assert_eq!((all.body.len(), all.header("content-range")), (200_000, "bytes 0-199999/200000"));
    assert_eq!(all.header("content-security-policy"), "sandbox");
    let _ = ask(&server, Method::GET, "/files/%E0%A4%A", &[], "").await.expect(400);
    let _ = ask(&server, Method::POST, "/sign", &[], "no JSON").await.expect(400);
    let _ = ask(&server, Method::GET, path, &[("if-none-match", whole.header("etag"))], "").await.expect(304);
    let _ = ask(&server, Method::DELETE, path, &[], "").await.expect(204);
    let _ = ask(&server, Method::GET, path, &[], "").await.expect(404);
    server.stop().await;
}

/// What a browser does: it asks whether it may, and sends.
async fn upload(server: &Server, name: &str, kind: &str, content: Bytes) {
    let body = json!({ "name": name, "type": kind }).to_string();
    let signed = ask(server, Method::POST, "/sign", &[], body).await.expect(200).json();
    let url = signed["url"].as_str().expect("an address");
    let path = url.strip_prefix(server.s3()).unwrap_or_else(|| panic!("{url} is not the S3 API's"));
    let door = server.s3().trim_start_matches("http://");
    let request = |method, origin: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, door)
            .header(header::ORIGIN, origin.to_owned())
    };
    let preflight = |origin: &str| {
        let request = request(Method::OPTIONS, origin).header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
        let request = request.header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type");
        send(door, request.body(Bytes::new()).expect("a valid request"))
    };
    assert_eq!(preflight(PAGE).await.expect(204).header("access-control-allow-origin"), PAGE);
    let _ = preflight("http://elsewhere.example").await.expect(403);
    let put = |kind: &str| {
        let request = request(Method::PUT, PAGE).header(header::CONTENT_TYPE, kind.to_owned());
        send(door, request.body(content.clone()).expect("a valid request"))
    };
    let _ = put("text/html").await.expect(403);
    let _ = put(kind).await.expect(200);
}

async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(body.into()).expect("a valid request")).await
}
