//! The target sleeps, is replaced, dies: the caller's next request and its next call find it as it is now.

use std::{cell::Cell, time::Duration};

use futures_util::future::join_all;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::{Process, Script, Server, wait_until, within};

use crate::support::{SOON, ask, asking, being, entrypoint, service};

const CALLER: &str = r#"
    const { TARGET } = env;
    if (url.pathname === "/slow") return TARGET.slowly(Number(url.searchParams.get("ms")));
    if (url.pathname === "/nothing") return null;
    if (url.pathname === "/fetch") return (await TARGET.fetch("http://x/")).text();
    return TARGET.who();"#;

async fn caller_of(server: &Server, target: &str) {
    server.deploy(&asking("caller", CALLER).binding(service("TARGET", target))).await;
}

#[tokio::test]
async fn an_idle_target_sleeps_although_it_was_called_and_the_next_call_wakes_it() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    server.deploy(&being("target", "awake")).await;
    caller_of(&server, "target").await;
    for _ in 0..2 {
        assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), "awake");
        let caller_and_target = server.children();
        assert_eq!(caller_and_target.len(), 2);
        wait_until("both processes end", SOON, || server.children().is_empty()).await;
    }
    // The caller stays awake and keeps its stream; the target sleeps all the same.
    let _ = ask(&server, "caller", "/").await.expect(200);
    let target = target_process(&server);
    let alone = async {
        while server.children().iter().any(|child| child.pid == target.pid) {
            let _ = ask(&server, "caller", "/nothing").await.expect(200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the end of a target without calls", SOON, alone).await;
    assert_eq!(server.children().len(), 1, "the caller is still awake");
    assert_eq!(ask(&server, "caller", "/slow?ms=2500").await.expect(200).json(), "awake");
    server.stop().await;
}

#[tokio::test]
async fn a_redeployed_target_answers_every_later_call_and_request() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&being("target", "0")).await;
    caller_of(&server, "target").await;
    for number in 1..=20 {
        let _ = ask(&server, "caller", "/").await.expect(200);
        server.deploy(&being("target", &number.to_string())).await;
        assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), number.to_string());
        assert_eq!(ask(&server, "caller", "/fetch").await.expect(200).json(), number.to_string());
    }
    wait_until("old processes end", SOON, || server.children().len() == 2).await;
    server.stop().await;
}

#[tokio::test]
async fn a_call_under_way_is_finished_by_the_version_that_began_it() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&being("target", "old")).await;
    caller_of(&server, "target").await;
    let _ = ask(&server, "caller", "/").await.expect(200);
    let (slow, ()) = tokio::join!(ask(&server, "caller", "/slow?ms=1500"), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.deploy(&being("target", "new")).await;
    });
    assert_eq!(slow.expect(200).json(), "old");
    assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), "new");
    wait_until("the old process ends", SOON, || server.children().len() == 2).await;
    server.stop().await;
}

#[tokio::test]
async fn what_the_old_version_still_holds_ends_with_its_time_and_costs_new_calls_nothing() {
    let settings = "[server]\ndrain_timeout_secs = 2\n[engine]\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    server.deploy(&being("target", "old")).await;
    caller_of(&server, "target").await;
    let _ = ask(&server, "caller", "/").await.expect(200);
    let is_over = Cell::new(false);
    let held = async {
        let ended = ask(&server, "caller", "/slow?ms=20000").await.expect(500).text();
        is_over.set(true);
        ended
    };
    let deploy_and_call = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.deploy(&being("target", "new")).await;
        while !is_over.get() {
            assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), "new");
        }
    };
    let (ended, ()) = tokio::join!(held, deploy_and_call);
    assert!(ended.contains("Network connection lost"), "{ended}");
    assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), "new");
    server.log().expect("Requests that still ran at the drain deadline are cut");
    server.stop().await;
}

#[tokio::test]
async fn a_killed_target_is_started_again_by_the_next_call() {
    let server = Server::start().await;
    server.deploy(&being("target", "alive")).await;
    caller_of(&server, "target").await;
    for path in ["/", "/fetch"] {
        let _ = ask(&server, "caller", path).await.expect(200);
        let target = target_process(&server);
        kill(&target);
        if path == "/" {
            // A call that the dying process still takes is lost with it; a request is sent again.
            let lines = || server.log().lines();
            let is_noticed = || lines().iter().any(|line| line.contains("ended unasked script=target"));
            wait_until("the end is noticed", SOON, is_noticed).await;
        }
        assert_eq!(ask(&server, "caller", path).await.expect(200).json(), "alive");
    }
    server.log().expect("ended unasked");
    server.stop().await;
}

#[tokio::test]
async fn a_request_whose_target_dies_is_repeated_if_it_may_be_and_refused_by_name_if_not() {
    let server = Server::start().await;
    let source = r#"
export default { async fetch(request) { await scheduler.wait(700); return new Response(request.method); } };"#;
    server.deploy(&Script::module("target", source)).await;
    let body = r#"
        const method = url.pathname.slice(1);
        return env.TARGET.fetch("http://x/", { method, body: method === "POST" ? "x" : undefined });"#;
    server.deploy(&asking("caller", body).binding(service("TARGET", "target"))).await;
    for (path, status) in [("/GET", 200), ("/POST", 503)] {
        let (answer, ()) = tokio::join!(ask(&server, "caller", path), async {
            tokio::time::sleep(Duration::from_millis(350)).await;
            kill(&target_process(&server));
        });
        let text = answer.expect(status).text();
        let wanted = if status == 200 { "GET" } else { "service binding \"TARGET\" to Worker \"target\"" };
        assert!(text.contains(wanted), "{path}: {text}");
    }
    server.log().expect("ended unasked");
    server.log().expect("A service binding failed");
    server.stop().await;
}

/// The newest process of the Worker `target`, as the log names it.
fn target_process(server: &Server) -> Process {
    let lines = server.log().lines();
    let started = lines.iter().rev().find(|line| line.contains("Worker started script=target "));
    let (_, pid) = started.and_then(|line| line.split_once(" pid=")).expect("a start is logged with its pid");
    let pid = pid.split(' ').next().and_then(|pid| pid.parse().ok());
    server.children().into_iter().find(|child| Some(child.pid) == pid).expect("the target runs")
}

fn kill(process: &Process) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).expect("a process has a number");
    kill_process(pid, Signal::KILL).expect("the process runs");
}

#[tokio::test]
async fn a_missing_target_is_named_at_deploy_and_a_deleted_one_at_the_call() {
    let server = Server::start().await;
    let caller = asking("caller", CALLER).binding(service("TARGET", "gone"));
    let refused = server.try_deploy(&caller).await.expect(400).json();
    assert_eq!(refused["errors"][0]["code"], 10_143, "{refused}");

    server.deploy(&being("gone", "here")).await;
    server.deploy(&caller).await;
    assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), "here");
    let _ = server.api(Method::DELETE, "/accounts/{account}/workers/scripts/gone", None).await.expect(200);
    let by_fetch = ask(&server, "caller", "/fetch").await.text();
    assert!(by_fetch.contains("gone") && by_fetch.contains("does not exist"), "{by_fetch}");
    let by_call = ask(&server, "caller", "/").await.expect(500).text();
    assert!(by_call.contains("gone") && by_call.contains("does not exist"), "{by_call}");
    server.log().expect("A service binding failed");
    server.stop().await;
}

#[tokio::test]
async fn an_entrypoint_that_is_missing_is_named_and_costs_others_nothing() {
    let server = Server::start().await;
    server.deploy(&being("target", "fine")).await;
    let body = r#"
        if (url.pathname === "/bad") return env.BAD.who();
        if (url.pathname === "/bad-fetch") return env.BAD.fetch(request);
        return { side: await env.SIDE.who(), main: await env.MAIN.who() };"#;
    let caller = asking("caller", body)
        .binding(entrypoint("BAD", "target", "Nowhere"))
        .binding(entrypoint("SIDE", "target", "Side"))
        .binding(service("MAIN", "target"));
    server.deploy(&caller).await;
    let wanted = json!({ "side": "side of fine", "main": "fine" });
    let first = join_all(["/bad", "/", "/bad-fetch", "/"].map(|path| ask(&server, "caller", path))).await;
    assert_eq!(first[1].clone().expect(200).json(), wanted);
    assert_eq!(first[3].clone().expect(200).json(), wanted);
    let processes = server.children();
    for _ in 0..5 {
        let by_call = ask(&server, "caller", "/bad").await.expect(500).text();
        let by_fetch = ask(&server, "caller", "/bad-fetch").await.expect(503).text();
        assert!(by_call.contains("Nowhere"), "{by_call}");
        assert!(by_fetch.contains("Nowhere"), "{by_fetch}");
        assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), wanted);
        assert_eq!(ask(&server, "target", "/").await.expect(200).text(), "fine");
    }
    assert_eq!(server.children(), processes, "no process was replaced again");
    server.log().expect("A service binding failed");
    server.stop().await;
}
