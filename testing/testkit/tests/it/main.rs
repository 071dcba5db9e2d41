//! What tests may rely on in their harness, shown on a stand-in for the server.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use http::Method;
use testkit::{Project, Server, Wrangler, children_of, wait_until};

fn stand_in() -> testkit::ServerBuilder {
    Server::builder().binary(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stand-in.mjs"))
}

/// How stopping the server fails the test. The folder is held meanwhile: it is not kept for this failure.
async fn failure(server: Server) -> String {
    let folder = server.folder();
    let panic = AssertUnwindSafe(server.stop()).catch_unwind().await.expect_err("stopping should fail");
    drop(folder);
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_server_is_reached_through_its_doors_and_ends_cleanly() {
    let server = stand_in().start().await;
    let answer = server.get("hello.localhost", "/a?b=c").await.expect(200);
    assert_eq!((answer.text().as_str(), answer.header("x-host")), ("GET /a?b=c", "hello.localhost"));
    let answer = server.api(Method::GET, "/accounts/{account}/workers", None).await.json();
    assert_eq!(answer["path"], "/client/v4/accounts/0123/workers");
    assert_eq!(answer["token"], "Bearer secret-token");
    let raw = server.raw(b"nonsense\r\n\r\n").await;
    assert!(raw.text.starts_with("HTTP/1.1 400") && raw.is_closed, "{raw:?}");
    assert!(1024 * 1024 < server.resident_bytes());
    server.stop().await;
}

#[tokio::test]
async fn a_complaint_that_nobody_announced_fails_the_test() {
    let server = stand_in().start().await;
    let _ = server.get("a", "/complain").await.expect(200);
    assert!(failure(server).await.contains("asked to complain"));
}

#[tokio::test]
async fn an_announced_complaint_is_part_of_the_test() {
    let server = stand_in().start().await;
    server.log().expect("asked to complain");
    let _ = server.get("a", "/complain").await.expect(200);
    server.log().wait_for("asked to complain", Duration::from_secs(5)).await;
    server.stop().await;
}

#[tokio::test]
async fn an_unclean_end_fails_the_test() {
    let server = stand_in().args(["--fail"]).start().await;
    assert!(failure(server).await.contains("exit status: 3"));
}

#[tokio::test]
async fn a_killed_server_leaves_its_folder_and_its_children_can_be_watched() {
    let server = stand_in().start().await;
    let children = children_of(server.pid());
    let [child] = children.as_slice() else { panic!("one child expected: {children:?}") };
    assert!(child.name == "sleep" && child.is_alive());
    let folder = server.kill().await;
    // The stand-in, unlike the server, leaves its child behind.
    assert!(child.is_alive());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("the child's end", Duration::from_secs(5), || !child.is_alive()).await;
    let again = stand_in().folder(&folder).start().await;
    again.stop().await;
}

#[tokio::test]
async fn both_wranglers_run_and_see_nothing_of_the_developers_environment() {
    let project = Project::new()
        .file("wrangler.toml", "name = \"a\"\nmain = \"a.ts\"\ncompatibility_date = \"2026-04-01\"\n")
        .file("a.ts", "export default { fetch: (): Response => new Response('a') };\n");
    for wrangler in Wrangler::ALL {
        let version =
            wrangler.command(project.path(), &Default::default()).args(["--version"]).succeed().await;
        let expected = if wrangler == Wrangler::Old { "4.86.0" } else { "4.164.0" };
        assert_eq!(version.stdout.trim(), expected);
        // Bundling needs esbuild's platform package, which came without an install script.
        let bundled = wrangler.command(project.path(), &Default::default());
        bundled.args(["deploy", "--dry-run", "--outdir", "out"]).succeed().await;
        let who = wrangler.command(project.path(), &Default::default()).args(["whoami"]).run().await;
        assert!(who.all().contains("not authenticated"), "{who}");
    }
}
