//! Deploys while requests arrive: none fails, none is answered by an older version once the deploy was acknowledged, and a
//! refused deploy changes nothing.

use std::cell::Cell;

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Script, Server};

use crate::support::{Client, saying};

const DEPLOYS: u64 = 30;
const LOADS: usize = 4;

#[tokio::test]
async fn thirty_deploys_under_load_fail_no_request_and_never_go_back() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&saying("steady", "0")).await;
    let (acknowledged, is_over) = (Cell::new(0), Cell::new(false));
    let deploys = async {
        for number in 1..=DEPLOYS {
            let answer = server.try_deploy(&saying("steady", &number.to_string())).await;
            let _ = answer.expect(200);
            acknowledged.set(number);
        }
        is_over.set(true);
    };
    let load = async || {
        let mut client = Client::open(server.http()).await;
        let mut count = 0;
        while !is_over.get() {
            let floor = acknowledged.get();
            let answer = client.get("steady.localhost", "/").await.expect("an answer").expect(200);
            let number: u64 = answer.text().parse().expect("the Worker says its number");
            assert!(floor <= number, "{number} answered after {floor} was acknowledged");
            count += 1;
        }
        count
    };
    let ((), counts) = tokio::join!(deploys, join_all((0..LOADS).map(|_| load())));
    assert!(counts.iter().all(|count| DEPLOYS < *count), "hardly any load: {counts:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_refused_deploy_says_why_and_leaves_the_old_version_serving() {
    let server = Server::start().await;
    server.deploy(&saying("firm", "first")).await;
    let mut unknown_flag = saying("firm", "x");
    unknown_flag.metadata["compatibility_flags"] = json!(["no_such_flag"]);
    let refused = [
        (Script::module("firm", "export default { fetch("), "SyntaxError"),
        (Script::module("firm", "throw new Error('not today'); export default {}"), "not today"),
        (Script::module("firm", "while (true) {}; export default {}"), "CPU time limit"),
        (Script::module("firm", "import './gone.js'; export default {}"), "gone.js"),
        (unknown_flag, "no_such_flag"),
    ];
    for (script, words) in refused {
        let answer = server.try_deploy(&script).await.expect(400).json();
        let error = &answer["errors"][0];
        assert_eq!(error["code"], 10_021, "{answer}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "`{message}` should say `{words}`");
        assert_eq!(server.get("firm.localhost", "/").await.expect(200).text(), "first");
    }
    assert_eq!(server.children().len(), 1, "a refused version leaves no process");
    server.deploy(&saying("firm", "second")).await;
    assert_eq!(server.get("firm.localhost", "/").await.expect(200).text(), "second");
    server.stop().await;
}
