//! A Worker's secret reaches the Worker and nobody else: not the log, not a command line or environment, no file.

use std::{fs, path::Path};

use serde_json::json;
use testkit::{Script, Server};

const SECRET: &str = "xK9-plainly-recognisable-4711";

const KEEPER: &str = r#"
export default {
    fetch: (request, env) => new Response([...env.SECRET].reverse().join("")),
};"#;

#[tokio::test]
async fn a_secret_is_nowhere_in_plain_text() {
    let server = Server::builder().settings("[log]\nfilter = \"trace\"").start().await;
    let secret = json!({ "name": "SECRET", "type": "secret_text", "text": SECRET });
    server.deploy(&Script::module("keeper", KEEPER).binding(secret)).await;
    let reversed: String = SECRET.chars().rev().collect();
    assert_eq!(server.get("keeper.localhost", "/").await.expect(200).text(), reversed);
    let settings = "/accounts/{account}/workers/scripts/keeper/settings";
    let answer = server.api(http::Method::GET, settings, None).await.expect(200).text();
    assert!(answer.contains("secret_text") && !answer.contains(SECRET), "{answer}");
    // A refusal, too, must not quote what it refuses.
    let twice = json!({ "name": "SECRET", "type": "secret_text", "text": SECRET });
    let refused = Script::module("keeper", KEEPER).binding(twice.clone()).binding(twice);
    assert!(!server.try_deploy(&refused).await.expect(400).text().contains(SECRET));

    let children = server.children();
    let pids = children.iter().map(|child| child.pid).chain([server.pid()]);
    for pid in pids {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("the process runs");
            assert!(!holds_secret(&bytes), "/proc/{pid}/{file}");
        }
    }
    let lines = server.log().lines();
    assert!(lines.iter().any(|line| line.contains("DEBUG") || line.contains("TRACE")), "the log is detailed");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "in the log");
    check_files(server.folder().path());
    let folder = server.stop().await;
    check_files(folder.path());

    let server = Server::builder().folder(&folder).start().await;
    assert_eq!(server.get("keeper.localhost", "/").await.expect(200).text(), reversed);
    server.stop().await;
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

/// Looks into every file below `folder`; the server's log is there, too.
fn check_files(folder: &Path) {
    for entry in fs::read_dir(folder).expect("list a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        let path = entry.path();
        if kind.is_dir() {
            check_files(&path);
        } else if kind.is_file() {
            assert!(!holds_secret(&fs::read(&path).expect("read a file")), "{}", path.display());
        }
    }
}
