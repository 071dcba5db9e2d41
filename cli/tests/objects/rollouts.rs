//! Several versions of a Worker that has objects answer at once: one of them runs the objects, and the others use those.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use testkit::{Project, Script, Server, Wrangler};

use crate::{
    handover::Ledger,
    support::{ask, counter, increment, updated_counter, upload_version},
};

const WRITERS: usize = 8;
const ASKED: usize = 40;

/// Adds the release of the version that was asked to what its object answers.
fn telling(mut script: Script, release: &str) -> Script {
    let source = String::from_utf8(script.modules[0].content.clone()).expect("text");
    let told = format!("return Response.json({{ ...await object.increment(), asked: \"{release}\" }});");
    let source = source.replace("return Response.json(await object.increment());", &told);
    script.modules[0].content = source.into_bytes();
    script
}

async fn split(server: &Server, shares: &[(&str, u32)]) {
    let portion = |(id, percentage): &(&str, u32)| json!({ "version_id": id, "percentage": percentage });
    let versions: Vec<Value> = shares.iter().map(portion).collect();
    let body = json!({ "strategy": "percentage", "versions": versions });
    let path = "/accounts/{account}/workers/scripts/counter/deployments";
    let _ = server.api(Method::POST, path, Some(&body)).await.expect(200);
}

/// Two versions; the first is deployed.
async fn two_versions(server: &Server) -> [String; 2] {
    server.deploy(&telling(counter("old"), "old")).await;
    let second = upload_version(server, &telling(updated_counter("new"), "new")).await.expect(200).json();
    let versions = "/accounts/{account}/workers/scripts/counter/versions";
    let listed = server.api(Method::GET, versions, None).await.expect(200).json();
    let first = listed["result"]["items"][1]["id"].as_str().expect("an id").to_owned();
    [first, second["result"]["id"].as_str().expect("an id").to_owned()]
}

/// Asks one object until both versions have been asked; which version answered, and which release the object had.
async fn seen(server: &Server, name: &str) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for n in 1..=ASKED {
        let answer = ask(server, &format!("/{name}")).await;
        assert_eq!(
            (&answer["n"], &answer["name"]),
            (&json!(n), &json!(name)),
            "one counter, whoever is asked"
        );
        let text = |key: &str| answer[key].as_str().expect("a text").to_owned();
        let release = seen.entry(text("asked")).or_insert_with(|| text("release"));
        assert_eq!(*release, text("release"));
    }
    seen
}

#[tokio::test]
async fn one_version_runs_the_objects_and_the_others_use_them() {
    let server = Server::start().await;
    let [old, new] = two_versions(&server).await;
    for (name, shares, owner) in [
        ("a", [(old.as_str(), 50), (new.as_str(), 50)], "new"),
        ("b", [(old.as_str(), 60), (new.as_str(), 40)], "old"),
        ("c", [(new.as_str(), 60), (old.as_str(), 40)], "new"),
    ] {
        split(&server, &shares).await;
        let both = ["old", "new"].map(|asked| (asked.to_owned(), owner.to_owned())).into();
        assert_eq!(seen(&server, name).await, both, "{shares:?}");
    }
    // A socket comes to the one object from either version.
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(server.websocket("counter.localhost", "/room").await);
    }
    sockets[0].send("hello").await;
    let told: Value = serde_json::from_str(&sockets[0].next_text().await).expect("JSON");
    assert_eq!(told["sockets"], 8);
    drop(sockets);
    server.stop().await;
}

#[tokio::test]
async fn shares_can_change_under_load_and_no_request_fails_and_no_count_is_lost() {
    let server = Server::start().await;
    let [old, new] = two_versions(&server).await;
    let (ledger, is_over) = (Ledger::default(), Cell::new(false));
    let writers = join_all((0..WRITERS).map(|_| ledger.write(&server, "counter", || is_over.get(), false)));
    let change = async {
        for share in [20, 50, 80, 40] {
            tokio::time::sleep(Duration::from_millis(300)).await;
            split(&server, &[(&old, 100 - share), (&new, share)]).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        split(&server, &[(&new, 100)]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        is_over.set(true);
    };
    tokio::join!(writers, change);
    ledger.check(increment(&server, "shared").await);
    server.stop().await;
}

#[tokio::test]
async fn wrangler_rolls_out_a_worker_with_objects_and_shows_bindings_to_those_of_another() {
    let server = Server::start().await;
    let mut script = counter("old");
    let source = String::from_utf8(script.modules.remove(0).content).expect("text");
    let project = Project::new().file("counter.js", &source).file("caller.js", FRONT).file(
        "wrangler.toml",
        r#"
        name = "counter"
        main = "counter.js"
        compatibility_date = "2026-04-01"
        durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }]
        migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }]
        "#,
    );
    let project = project.file(
        "caller.toml",
        r#"
        name = "caller"
        main = "caller.js"
        compatibility_date = "2026-04-01"
        durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter", script_name = "counter" }]
        "#,
    );
    let run =
        |words: &str| server.wrangler(Wrangler::New, project.path()).args(words.split_whitespace()).succeed();
    let version_of = |output: &str| {
        let line = output.lines().find(|line| line.contains("Version ID:")).expect("a version's id");
        line.split_whitespace().last().expect("an id").to_owned()
    };
    let first = version_of(&run("deploy").await.stdout);
    project.write("counter.js", source.replace("\"old\"", "\"new\""));
    let second = version_of(&run("versions upload").await.stdout);
    let _ = run(&format!("versions deploy {first}@50% {second}@50% --yes")).await;
    for n in 1..=ASKED {
        let answer = ask(&server, "/a").await;
        assert_eq!((&answer["n"], &answer["release"]), (&json!(n), &json!("new")));
    }

    let deployed = run("deploy --config caller.toml").await;
    assert!(deployed.all().contains("env.COUNTER (Counter, defined in counter)"), "{}", deployed.all());
    let caller = version_of(&deployed.stdout);
    assert_eq!(server.get("caller.localhost", "/a").await.expect(200).json()["n"], ASKED + 1);
    let viewed = run(&format!("versions view {caller} --config caller.toml")).await.all();
    assert!(
        viewed.contains("Counter, defined in counter") || viewed.contains("script_name:\tcounter"),
        "{viewed}"
    );
    server.stop().await;
}

const FRONT: &str = "export default { fetch: async (request, env) => \
    Response.json(await env.COUNTER.getByName(new URL(request.url).pathname.slice(1)).increment()) };";
