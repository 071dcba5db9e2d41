//! Promises about origins that fail: the Worker is told what happened, in Cloudflare's numbers.

use std::time::Duration;

use axum::body::Body;
use egress::Settings;
use hyper::{Request, Response, StatusCode, ext::ReasonPhrase};
use tasks::Tasks;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::harness::{Answer, END_OF_HEAD, Worker, loopback, only, origin, raw_origin, read_until};

#[tokio::test]
async fn a_closed_port_is_521() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = Worker::with_origin(address).get("http://origin.test/").await;
    answer.assert_failure(521, 521);
    let phrase = answer.head.extensions.get::<ReasonPhrase>().unwrap();
    assert_eq!(phrase.as_bytes(), b"origin refused the connection");
}

#[tokio::test]
async fn an_origin_that_does_not_accept_is_522() {
    // A full accept queue: Linux then lets further handshakes go unanswered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(waiting);
    }
    let settings = Settings { connect_timeout: Duration::from_millis(100), ..only(address) };
    Worker::new(settings).get("http://origin.test/").await.assert_failure(522, 522);
}

#[tokio::test]
async fn an_origin_that_says_nothing_sensible_is_520() {
    let tasks = Tasks::new();
    let endless_head = vec![b'x'; 256 * 1024];
    let answers: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        &[b"HTTP/1.1 200 OK\r\nX-Long: ", endless_head.as_slice()].concat(),
    ];
    for answer in answers {
        let answer = answer.to_vec();
        let begins = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
        let address = raw_origin(&tasks, move |mut socket| {
            let answer = answer.clone();
            async move {
                assert!(read_until(&mut socket, END_OF_HEAD).await);
                let _ = socket.write_all(&answer).await;
            }
        })
        .await;
        let answer = Worker::with_origin(address).get("http://origin.test/").await;
        assert_eq!(answer.head.status.as_u16(), 520, "{begins}");
        answer.assert_failure(520, 520);
    }
}

#[tokio::test]
async fn an_origin_that_takes_too_long_is_524() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| std::future::pending()).await;
    let settings = Settings { answer_timeout: Duration::from_millis(100), ..only(address) };
    Worker::new(settings).get("http://origin.test/").await.assert_failure(524, 524);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_530_with_code_1016() {
    // A label over 63 characters exists nowhere, and no resolver needs to be asked.
    let url = format!("http://{}.test/", "a".repeat(64));
    Worker::new(loopback()).get(&url).await.assert_failure(530, 1016);
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let worker = Worker::new(loopback());
    for url in ["/path", "*", "ftp://origin.test/"] {
        worker.get(url).await.assert_failure(400, 400);
    }
    let no_port = worker.connect("origin.test").await;
    assert_eq!(no_port.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_worker() {
    let tasks = Tasks::new();
    let address = raw_origin(&tasks, |mut socket| async move {
        assert!(read_until(&mut socket, END_OF_HEAD).await);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let worker = Worker::with_origin(address);
    let request = Request::get("http://origin.test/").body(Body::empty()).unwrap();
    let response = worker.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(http_body_util::BodyExt::collect(response.into_body()).await.is_err());
}

#[tokio::test]
async fn errors_of_the_origin_itself_are_its_own() {
    let tasks = Tasks::new();
    let address = origin(&tasks, |_| async {
        Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::from("closed today")).unwrap()
    })
    .await;
    let worker = Worker::with_origin(address);
    let request = Request::get("http://origin.test/").body(Body::empty()).unwrap();
    let answer = Answer::read(worker.send(request).await).await;
    assert_eq!((answer.head.status.as_u16(), answer.text.as_str()), (503, "closed today"));
}
