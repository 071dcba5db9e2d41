//! Start on demand, sleep, crash, replacement.

use std::time::Duration;

use engine::StartError;
use http_body_util::BodyExt;
use model::VersionId;
use product::Runtime;

use crate::house::{House, answering, send, settings, text, version};

#[tokio::test(flavor = "multi_thread")]
async fn a_version_starts_when_it_is_asked_for() {
    let house = House::new();
    let code =
        "export default { fetch(request, env) { return new Response(`hello ${env.WHO} ${request.url}`) } }";
    let id = house.source.add(version(code));
    let answers = futures_util::future::join_all((0..20).map(|_| house.get(id, "/a?b=c"))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), "hello wörld http://test.localhost/a?b=c");
    }
    let missing = house.get(VersionId::random(), "/").await;
    assert!(matches!(missing, Err(StartError::Missing(_))), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_sleeps_and_the_next_request_wakes_it() {
    let house = House::with(engine::Settings { idle_timeout: Duration::from_millis(100), ..settings() });
    let id = house.source.add(answering("awake"));
    let lease = house.engine.acquire(id).await.unwrap();
    let first = lease.pid();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!lease.has_ended(), "a process in use must not sleep");
    drop(lease);
    until(|| !is_alive(first)).await;
    assert_eq!(house.get(id, "/").await.unwrap(), "awake");
    assert_ne!(house.pid(id).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_replaced_at_the_next_request() {
    let house = House::new();
    let id = house.source.add(answering("back"));
    let lease = house.engine.acquire(id).await.unwrap();
    kill(lease.pid());
    until(|| lease.has_ended()).await;
    assert_eq!(house.get(id, "/").await.unwrap(), "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_keeps_failing_rests_between_starts_and_says_why() {
    let house = House::new();
    let id = house.source.add(version("throw new Error('never')"));
    for _ in 0..6 {
        let outcome = house.get(id, "/").await;
        assert!(matches!(&outcome, Err(StartError::Rejected(text)) if text.contains("never")), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_nothing_running() {
    let house = House::with(engine::Settings { program: "/nonexistent/workerd".into(), ..settings() });
    let id = house.source.add(answering("never"));
    let outcome = house.get(id, "/").await;
    assert!(matches!(outcome, Err(StartError::Unavailable(_))), "{outcome:?}");
    assert!(
        house.tasks.stop(Duration::from_secs(10)).await,
        "a door waits for a process that does not exist"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_version_finishes_what_it_has_begun() {
    let house = House::new();
    let code = "export default { fetch() {
        const { readable, writable } = new TransformStream();
        (async () => {
            const writer = writable.getWriter();
            for (let i = 0; i < 5; i++) { await writer.write(new TextEncoder().encode(`${i}`)); await scheduler.wait(50); }
            await writer.close();
        })();
        return new Response(readable);
    } }";
    let id = house.source.add(version(code));
    let lease = house.engine.acquire(id).await.unwrap();
    let pid = lease.pid();
    let mut answer = send(&lease, "/").await;
    answer.body_mut().frame().await.unwrap().unwrap();
    house.engine.retire(vec![id]);
    drop(lease);
    let rest = text(answer).await;
    assert!(rest.ends_with('4'), "{rest}");
    until(|| !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_left_by_wait_until_is_finished_before_the_process_ends() {
    let house = House::new();
    // The process has no files: that its end is late shows that the work was waited for.
    let code = "export default { fetch(request, env, context) {
        context.waitUntil(scheduler.wait(1500));
        return new Response('answered');
    } }";
    let id = house.source.add(version(code));
    let pid = house.pid(id).await;
    assert_eq!(house.get(id, "/").await.unwrap(), "answered");
    house.engine.retire(vec![id]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(is_alive(pid), "waitUntil work was cut off");
    until(|| !is_alive(pid)).await;
}

#[test]
fn a_child_outlives_the_threads_of_the_runtime_that_started_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(50))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let house = House::new();
        let id = house.source.add(answering("alive"));
        let pid = house.pid(id).await;
        // Blocking threads come and go; were one of them the child's parent, its end would be the child's.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(is_alive(pid));
        assert_eq!(house.get(id, "/").await.unwrap(), "alive");
    });
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the condition comes true");
}

fn is_alive(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
        && !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ")
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
