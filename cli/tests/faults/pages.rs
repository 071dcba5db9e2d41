//! What a client is told when no Worker answers, and what the operator's log says about it.

use std::{fs, time::Duration};

use bytes::Bytes;
use http::{
    Request,
    header::{ACCEPT, HOST},
};
use rustix::process::Signal;
use testkit::{Answer, Clients, DataFolder, Script, Server};

use crate::support::{SOON, saying, signal, until_processes};

async fn ask(server: &Server, host: &str, accept: &str) -> Answer {
    let request = Request::get("/").header(HOST, host).header(ACCEPT, accept).body(Bytes::new());
    server.send(request.expect("a valid request")).await
}

/// The ray id of an answer, without the data centre.
fn ray(answer: &Answer) -> String {
    answer.header("cf-ray").split('-').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_unknown_host_is_answered_in_the_clients_format() {
    let server = Server::start().await;
    let html = ask(&server, "nobody.localhost", "text/html,*/*;q=0.8").await.expect(404);
    assert!(html.header("content-type").starts_with("text/html"));
    assert!(html.text().contains("nobody.localhost") && html.text().contains(&ray(&html)));
    let json = ask(&server, "nobody.localhost", "application/json").await.expect(404).json();
    assert_eq!((&json["status"], &json["error_code"]), (&404.into(), &1042.into()), "{json}");
    let text = ask(&server, "nobody.localhost", "*/*").await.expect(404);
    assert!(text.text().starts_with("error code: 1042\n"), "{}", text.text());
    let hostile = ask(&server, "<script>.localhost", "text/html").await.expect(400);
    assert!(!hostile.text().contains("<script>"), "{}", hostile.text());
    server.stop().await;
}

const FAILING: &str = r#"
export default {
    async fetch(request) {
        switch (new URL(request.url).pathname) {
            case "/throws": throw new Error("kaputt");
            case "/hangs": return new Promise(() => {});
            case "/breaks": {
                const { readable, writable } = new TransformStream();
                const writer = writable.getWriter();
                writer.write(new TextEncoder().encode("begun"))
                    .then(() => scheduler.wait(100))
                    .then(() => writer.abort(new Error("halfway")));
                return new Response(readable);
            }
            case "/five-hundred": return new Response("my own", { status: 500 });
        }
        return new Response("fine");
    },
};"#;

#[tokio::test]
async fn a_worker_that_throws_or_hangs_is_1101_and_one_log_line_finds_it() {
    let server = Server::start().await;
    for text in ["Worker threw exception", "A Worker's answer broke off"] {
        server.log().expect(text);
    }
    server.deploy(&Script::module("failing", FAILING)).await;
    for path in ["/throws", "/hangs"] {
        let answer = server.get("failing.localhost", path).await.expect(500);
        assert!(answer.text().starts_with("error code: 1101\n"), "{path}: {}", answer.text());
        let ray = ray(&answer);
        assert!(answer.text().contains(&ray));
        let line = server.log().wait_for(&ray, SOON).await;
        assert!(line.contains("WARN") && line.contains("failing"), "{line}");
        let lines = server.log().lines();
        assert_eq!(lines.iter().filter(|line| line.contains(&ray)).count(), 1, "{lines:?}");
    }
    server.log().wait_for("Uncaught Error: kaputt", SOON).await;
    let own = server.get("failing.localhost", "/five-hundred").await.expect(500);
    assert_eq!(own.text(), "my own");
    let raw = server.raw(b"GET /breaks HTTP/1.1\r\nHost: failing.localhost\r\n\r\n").await;
    assert!(raw.text.contains("begun") && raw.is_closed && !raw.text.ends_with("0\r\n\r\n"), "{raw:?}");
    assert_eq!(server.get("failing.localhost", "/").await.expect(200).text(), "fine");
    server.stop().await;
}

/// Uses some hundred milliseconds of CPU before it can answer.
const LABORIOUS: &str = r#"
let sum = 0;
for (let n = 0; n < 3e8; n++) sum += n;
export default { fetch: () => new Response(`${sum > 0}`) };"#;

#[tokio::test]
async fn a_worker_that_cannot_start_any_more_says_so_and_recovers() {
    let server = Server::builder().settings("[engine]\nstartup_cpu_ms = 20000").start().await;
    server.deploy(&Script::module("laborious", LABORIOUS)).await;
    let folder = server.stop().await;

    let server = Server::builder().folder(&folder).settings("[engine]\nstartup_cpu_ms = 1").start().await;
    server.log().expect("Worker could not start");
    for _ in 0..5 {
        let answer = server.get("laborious.localhost", "/").await.expect(500);
        assert!(answer.text().starts_with("error code: 1101\n"), "{}", answer.text());
        let line = server.log().wait_for(&ray(&answer), SOON).await;
        assert!(line.contains("CPU time limit"), "{line}");
    }
    assert!(server.children().is_empty());
    server.stop().await;

    let server = Server::builder().folder(&folder).settings("[engine]\nstartup_cpu_ms = 20000").start().await;
    assert_eq!(server.get("laborious.localhost", "/").await.expect(200).text(), "true");
    server.stop().await;
}

#[tokio::test]
async fn without_its_engine_the_server_answers_503_and_recovers_when_it_is_back() {
    let place = DataFolder::new();
    let (program, hidden) = (place.path().join("workerd"), place.path().join("hidden"));
    fs::copy(Clients::find().workerd(), &program).expect("copy the engine");
    let server = Server::builder().env("SKERRY_WORKERD", &program.display().to_string()).start().await;
    for text in ["Worker's process ended unasked", "Worker unavailable"] {
        server.log().expect(text);
    }
    server.deploy(&saying("patient", "here")).await;

    fs::rename(&program, &hidden).expect("hide the engine");
    signal(&server.children()[0], Signal::KILL);
    until_processes(&server, 0, SOON).await;
    let answer = ask(&server, "patient.localhost", "application/json").await.expect(503);
    assert!(0 < answer.header("retry-after").parse::<u32>().unwrap_or(0), "{:?}", answer.headers);
    assert_eq!(answer.json()["retryable"], true);
    let refused = server.try_deploy(&saying("patient", "new")).await.expect(503).json();
    assert_eq!(refused["success"], false);

    fs::rename(&hidden, &program).expect("bring the engine back");
    let mut tries = 0;
    while server.get("patient.localhost", "/").await.status != 200 {
        tries += 1;
        assert!(tries < 50, "the server does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.get("patient.localhost", "/").await.expect(200).text(), "here");
    server.stop().await;
}
