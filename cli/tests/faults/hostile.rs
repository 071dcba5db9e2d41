//! Requests written to be understood differently by the server and by the engine behind it. A Worker that counts what
//! reaches it is the witness: no request ever becomes two.

use testkit::{Script, Server};

const COUNTER: &str = r#"
const seen = [];
export default {
    async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/seen") return Response.json(seen);
        const text = await request.text().catch(() => "broken");
        seen.push(`${request.method} ${pathname} ${text}`);
        return new Response("counted");
    },
};"#;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: counter.localhost\r\n\r\n";

async fn server() -> Server {
    let server = Server::start().await;
    server.deploy(&Script::module("counter", COUNTER)).await;
    server
}

async fn seen(server: &Server) -> Vec<String> {
    let list = server.get("counter.localhost", "/seen").await.expect(200).json();
    let list = list.as_array().expect("a list").clone();
    list.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_malformed_request_is_refused_once_and_reaches_nobody() {
    let server = server().await;
    let long = "x".repeat(200 * 1024);
    let get = |rest: &str| format!("GET / HTTP/1.1\r\nHost: counter.localhost\r\n{rest}\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nHost: counter.localhost\r\n{headers}\r\n\r\n{body}")
    };
    let cases = [
        (400, post("Content-Length: 3\r\nContent-Length: 4", "abc")),
        (400, post("Content-Length: 3, 4", "abc")),
        (400, post("Content-Length: +3", "abc")),
        (400, post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        (400, post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
        (400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n")),
        (400, post("Transfer-Encoding : chunked", "0\r\n\r\n")),
        (400, get("X: 1\r\n folded\r\n")),
        (400, get("X: a\0b\r\n")),
        (400, get("X: a\rb\r\n")),
        (400, get("Host: counter.localhost\r\n")),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned()),
        (400, "GET http://user@counter.localhost/ HTTP/1.1\r\nHost: counter.localhost\r\n\r\n".to_owned()),
        (405, "TRACE / HTTP/1.1\r\nHost: counter.localhost\r\n\r\n".to_owned()),
        (414, format!("GET /{} HTTP/1.1\r\nHost: counter.localhost\r\n\r\n", &long[..20 * 1024])),
        (431, get(&format!("X: {long}\r\n"))),
        (431, get(&"X: y\r\n".repeat(2000))),
    ];
    for (status, request) in cases {
        let answer = server.raw(format!("{request}{SMUGGLED}").as_bytes()).await;
        let shown = &request[..request.len().min(120)];
        assert!(answer.text.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer:?}");
        assert_eq!(answer.text.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {answer:?}");
        assert!(answer.is_closed, "{shown:?}: {answer:?}");
    }
    assert_eq!(seen(&server).await, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn an_ambiguous_body_is_read_in_one_way_only() {
    let server = server().await;
    let head = "POST /both HTTP/1.1\r\nHost: counter.localhost\r\n";
    for both in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let request = format!("{head}{both}\r\n3\r\nabc\r\n0\r\n\r\n{SMUGGLED}");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.text.starts_with("HTTP/1.1 200 ") && answer.is_closed, "{answer:?}");
        assert_eq!(answer.text.matches("HTTP/1.1 ").count(), 1, "{answer:?}");
    }
    assert_eq!(seen(&server).await, ["POST /both abc", "POST /both abc"]);

    // A body that is itself a request is a body, announced by a length or as a chunk.
    let length = SMUGGLED.len();
    let with_length = format!(
        "GET /body HTTP/1.1\r\nHost: counter.localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{SMUGGLED}"
    );
    let _ = server.raw(with_length.as_bytes()).await;
    let chunk = format!(
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    );
    let _ = server.raw(format!("{head}{chunk}").as_bytes()).await;
    // Chunks that lie about their length end the request, whatever follows.
    for chunks in ["3\r\nabcd\r\n", "x\r\nabc\r\n", "ffffffffffffffff1\r\nabc\r\n", "3\nabc\n"] {
        let answer = server
            .raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n{SMUGGLED}").as_bytes())
            .await;
        assert!(!answer.text.contains(" 200 "), "{chunks:?}: {answer:?}");
    }
    assert_eq!(seen(&server).await.iter().filter(|line| line.starts_with("GET /smuggled")).count(), 0);
    // Lines may end in a bare line feed (RFC 9112 section 2.2); what follows is a request of its own, and answered as one.
    let bare = format!("GET /bare HTTP/1.1\nHost: counter.localhost\nContent-Length: 0\n\n{SMUGGLED}");
    let answer = server.raw(bare.as_bytes()).await;
    assert_eq!(answer.text.matches("HTTP/1.1 200 ").count(), 2, "{answer:?}");

    let seen = seen(&server).await;
    assert!(seen.ends_with(&["GET /bare ".to_owned(), "GET /smuggled ".to_owned()]), "{seen:?}");
    assert!(seen.contains(&format!("GET /body {SMUGGLED}")), "{seen:?}");
    assert!(seen.contains(&format!("POST /both {SMUGGLED}")), "{seen:?}");
    server.stop().await;
}
