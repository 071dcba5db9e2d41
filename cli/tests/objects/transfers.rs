//! A class passes to another Worker with its objects: they keep their ids, what they stored and their alarms, are run by one
//! process at any time, and a crash at any step leaves them with one of the two.

use std::{fs, sync::Arc};

use http::Method;
use serde_json::{Value, json};
use testkit::{DataFolder, Project, Script, Server, Wrangler, wait_until, within};

use crate::support::{SOON, ask, binding, counter, increment, namespace, updated_counter, with_migrations};

/// More steps than the transfer has.
const PASSAGES_MAX: u32 = 20;

#[tokio::test]
async fn objects_pass_to_another_worker_as_they_are() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    assert_eq!([increment(&server, "a").await, increment(&server, "a").await], [1, 2]);
    let id = ask(&server, "/a").await["id"].clone();
    let due = ask(&server, "/b/alarm?ms=3000").await;
    let listed = namespace(&server).await;

    server.deploy(&taker("one")).await;
    assert_eq!(namespace(&server).await, listed, "the namespace is the same");
    wait_until("the move of its folder", SOON, || home_of(&server, &listed).len() == 1).await;
    // The alarm is due though nobody asks the new owner.
    let fired = within("the alarm", SOON, async {
        loop {
            let fired = take(&server, "/b/fired").await["fired"].clone();
            if fired != json!([]) {
                return fired;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    assert!(due.as_u64() <= fired.await[0]["at"].as_u64());
    let answer = take(&server, "/a").await;
    assert_eq!((&answer["n"], &answer["id"], &answer["release"]), (&json!(4), &id, &json!("one")));
    assert_eq!(namespaces(&server).await[0]["script"], json!("taker"));

    // The giver goes on, without the class; and the class cannot be taken twice.
    let plain = Script::module("counter", "export default { fetch: () => new Response('no objects') };");
    server.deploy(&plain).await;
    assert_eq!(server.get("counter.localhost", "/").await.text(), "no objects");
    let mut other = taker("one");
    other.name = "other".to_owned();
    let refused = server.try_deploy(&other).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["code"]), (400, &json!(10_061)));
    let services = "/accounts/{account}/workers/services/counter?force=true";
    let _ = server.api(Method::DELETE, services, None).await.expect(200);
    assert_eq!(take(&server, "/a").await["n"], json!(5));
    server.stop().await;
}

#[tokio::test]
async fn bindings_follow_a_class_to_its_new_worker() {
    let server = Server::start().await;
    let first = server.deploy(&counter("one")).await;
    assert_eq!(increment(&server, "a").await, 1);
    let mut other = Script::module("other", "export default {};");
    other.modules = updated_counter("one").modules;
    let mut foreign = binding("COUNTER", "Counter");
    foreign["script_name"] = json!("counter");
    other.metadata["bindings"] = json!([foreign]);
    server.deploy(&other).await;

    server.deploy(&taker("one")).await;
    let asked = async |script: &str| {
        let answer = server.get(&format!("{script}.localhost"), "/a").await.expect(200).json();
        answer["n"].as_u64().expect("a number")
    };
    // The old owner still exports the class, but calls the new one's.
    assert_eq!([asked("taker").await, asked("counter").await, asked("other").await], [2, 3, 4]);
    for script in ["counter", "other"] {
        let path = format!("/accounts/{{account}}/workers/scripts/{script}/settings");
        let settings = server.api(Method::GET, &path, None).await.expect(200).json();
        let bound = &settings["result"]["bindings"][0];
        assert_eq!(
            (&bound["script_name"], &bound["class_name"]),
            (&json!("taker"), &json!("Teller")),
            "{bound}"
        );
        let secret = json!({ "name": "KEY", "text": "value", "type": "secret_text" });
        let path = format!("/accounts/{{account}}/workers/scripts/{script}/secrets");
        let _ = server.api(Method::PUT, &path, Some(&secret)).await.expect(200);
    }
    let version = first["result"]["deployment_id"].as_str().expect("an id");
    let back =
        json!({ "strategy": "percentage", "versions": [{ "version_id": version, "percentage": 100 }] });
    let path = "/accounts/{account}/workers/scripts/counter/deployments?force=true";
    let _ = server.api(Method::POST, path, Some(&back)).await.expect(200);
    assert_eq!([asked("counter").await, asked("other").await, asked("taker").await], [5, 6, 7]);
    server.stop().await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_transfer_leaves_the_objects_with_one_owner() {
    let folder = Arc::new(DataFolder::new());
    let (fault, mut points) = (folder.path().join("fault"), Vec::new());
    for passage in 1..PASSAGES_MAX {
        let start = || {
            let variable = fault.to_str().expect("text").to_owned();
            Server::builder().folder(&folder).env("SKERRY_FAULT_FILE", &variable).start()
        };
        let server = start().await;
        // Back to where it was before the last round.
        for name in ["counter", "taker"] {
            let path = format!("/accounts/{{account}}/workers/services/{name}?force=true");
            let _ = server.api(Method::DELETE, &path, None).await;
        }
        server.deploy(&counter("one")).await;
        increment(&server, "a").await;
        // So that it has a host.
        server
            .deploy(&Script::module("taker", "export default { fetch: () => new Response('soon') };"))
            .await;
        fs::write(&fault, passage.to_string()).expect("arm the fault");
        let transferred = async { try_deploy(&server, &taker("one")).await && try_take(&server, "/a").await };
        if transferred.await {
            fs::remove_file(&fault).expect("the fault is still armed");
            assert_eq!(take(&server, "/a").await["n"], json!(3));
            server.stop().await;
            assert!(points.iter().any(|point| point == "durable-objects: namespace moved"), "{points:?}");
            return;
        }
        let line = server.log().wait_for("fault point `", SOON).await;
        points.push(line.split('`').nth(1).expect("the point's name").to_owned());
        server.kill().await;
        let server = start().await;
        let owner = namespaces(&server).await[0]["script"].clone();
        if owner == "counter" {
            assert_eq!(increment(&server, "a").await, 2, "after a crash at {points:?}");
        } else {
            // The crash may have come after the object had counted.
            let n = take(&server, "/a").await["n"].as_u64();
            assert!(n == Some(2) || n == Some(3), "{n:?} after a crash at {points:?}");
        }
        let listed = namespace(&server).await;
        assert_eq!(home_of(&server, &listed).len(), 1, "after a crash at {points:?}");
        server.stop().await;
    }
    panic!("the transfer did not come to its end: {points:?}");
}

#[tokio::test]
async fn wrangler_transfers_a_class() {
    for wrangler in Wrangler::ALL {
        let server = Server::start().await;
        let (giver, taker) = (wrangler_project("giver"), wrangler_project("taker"));
        let count = async |host: &str| server.get(host, "/").await.expect(200).text();
        let deploy = |project: &Project| server.wrangler(wrangler, project.path()).args(["deploy"]);
        let made = "[[migrations]]\ntag = \"v1\"\nnew_sqlite_classes = [\"Counter\"]\n";
        giver.write("wrangler.toml", wrangler_settings("giver", "Counter", made));
        deploy(&giver).succeed().await;
        assert_eq!([count("giver.localhost").await, count("giver.localhost").await], ["1", "2"]);

        let taken = "[[migrations]]\ntag = \"first\"\n\
            transferred_classes = [{ from = \"Counter\", from_script = \"giver\", to = \"Teller\" }]\n";
        taker.write("wrangler.toml", wrangler_settings("taker", "Teller", taken));
        deploy(&taker).succeed().await;
        assert_eq!([count("taker.localhost").await, count("giver.localhost").await], ["3", "4"]);
        deploy(&taker).succeed().await;

        let bare =
            format!("name = \"giver\"\nmain = \"index.js\"\ncompatibility_date = \"2026-04-01\"\n{made}");
        giver.write("wrangler.toml", bare);
        giver.write("index.js", "export default { fetch: () => new Response('nothing to count') };");
        deploy(&giver).succeed().await;
        assert_eq!(
            [count("giver.localhost").await, count("taker.localhost").await],
            ["nothing to count", "5"]
        );
        server.stop().await;
    }
}

/// Another Worker that takes the counter's class over under another name.
fn taker(release: &str) -> Script {
    let transfer = json!({ "new_tag": "first", "steps": [{ "transferred_classes":
        [{ "from": "Counter", "from_script": "counter", "to": "Teller" }] }] });
    let mut script = with_migrations(updated_counter(release), transfer);
    script.name = "taker".to_owned();
    script.metadata["bindings"] = json!([binding("COUNTER", "Teller")]);
    let source = String::from_utf8(script.modules[0].content.clone()).expect("text");
    script.modules[0].content = source.replace("class Counter", "class Teller").into_bytes();
    script
}

async fn take(server: &Server, path: &str) -> Value {
    server.get("taker.localhost", path).await.expect(200).json()
}

/// Whether it was answered before the server crashed.
async fn try_take(server: &Server, path: &str) -> bool {
    let mut client = crate::support::Client::new(server, "taker");
    client.post(path).await.is_some_and(|answer| answer.status == 200)
}

async fn try_deploy(server: &Server, script: &Script) -> bool {
    let (content_type, body) = script.multipart();
    let path = format!("/accounts/{{account}}/workers/scripts/{}", script.name);
    let request = server.api_request(Method::PUT, &path).header("content-type", content_type);
    let mut client = crate::support::Client::to_api(server);
    let answer =
        client.send(&path, request.body(http_body_util::Full::new(body.into())).expect("valid")).await;
    answer.is_some_and(|answer| answer.expect(200).status == 200)
}

async fn namespaces(server: &Server) -> Value {
    let path = "/accounts/{account}/workers/durable_objects/namespaces";
    server.api(Method::GET, path, None).await.expect(200).json()["result"].clone()
}

/// The homes that have a folder of this namespace.
fn home_of(server: &Server, namespace: &str) -> Vec<std::path::PathBuf> {
    let homes = fs::read_dir(server.folder().path().join("durable-objects")).expect("the room's folder");
    homes.map(|home| home.expect("an entry").path()).filter(|home| home.join(namespace).exists()).collect()
}

fn wrangler_settings(name: &str, class: &str, migrations: &str) -> String {
    format!(
        "name = \"{name}\"\nmain = \"index.js\"\ncompatibility_date = \"2026-04-01\"\n\
         durable_objects.bindings = [{{ name = \"COUNTER\", class_name = \"{class}\" }}]\n{migrations}"
    )
}

fn wrangler_project(name: &str) -> Project {
    let class = if name == "giver" { "Counter" } else { "Teller" };
    let source = "import { DurableObject } from 'cloudflare:workers';
        export class CLASS extends DurableObject {
            async count() {
                const n = ((await this.ctx.storage.get('n')) ?? 0) + 1;
                await this.ctx.storage.put('n', n);
                return n;
            }
        }
        export default {
            fetch: async (request, env) => new Response(await env.COUNTER.getByName('visits').count()),
        };";
    Project::new().file("index.js", source.replace("CLASS", class))
}
