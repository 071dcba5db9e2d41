//! The commands of `skerry`: what they print, where, and with which exit code.

use serde_json::json;
use testkit::{DataFolder, Script, Server};

use crate::terminal::{assert_says, type_words};

const HELLO: &str = "export default { fetch: () => new Response('hello') };";

#[tokio::test]
async fn help_names_every_command_and_what_to_do_first() {
    let help = type_words("--help").succeed().await;
    assert_says(&help, &["serve", "env", "urls", "token", "kv", "r2", "do", "doctor", "engine", "--version"]);
    assert_says(&help, &["eval \"$(skerry env)\" && npx wrangler deploy"]);
    let help = type_words("serve --help").succeed().await;
    assert_says(
        &help,
        &["--data <DIR>", "--http <ADDR>", "--api <ADDR>", "--base-domain <NAME>", "--config <FILE>"],
    );
    assert_says(&help, &["[default: 127.0.0.1:8787]", "[default: 127.0.0.1:8788]", "$SKERRY_DATA"]);
    let misspelt = type_words("sreve").run().await;
    assert_eq!(misspelt.code, Some(2));
    assert_says(&misspelt.stderr, &["sreve", "serve"]);
}

const TALLY: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Tally extends DurableObject {
    count() {
        const { sql, kv } = this.ctx.storage;
        sql.exec("CREATE TABLE IF NOT EXISTS votes (who TEXT, n INTEGER); INSERT INTO votes VALUES ('ada', 3)");
        kv.put("colour", "green");
    }
}
export default { async fetch(_, env) { await env.TALLY.getByName("spring vote").count(); return new Response("counted"); } };"#;

#[tokio::test]
async fn do_lists_inspects_and_queries_objects_by_their_names() {
    let server = Server::start().await;
    let folder = server.folder();
    let binding = json!({ "type": "durable_object_namespace", "name": "TALLY", "class_name": "Tally" });
    let mut script = Script::module("polls", TALLY).binding(binding);
    script.metadata["migrations"] = json!({ "new_tag": "v1", "new_sqlite_classes": ["Tally"] });
    server.deploy(&script).await;
    let _ = server.get("polls.localhost", "/").await.expect(200);
    let type_in = |words: &str| type_words(words).data(folder.path());
    let listed = type_in("do list").succeed().await;
    assert_says(&listed, &["NAMESPACE", "polls/Tally", "yes"]);
    let ids = type_in("do list polls/Tally").succeed().await;
    assert_eq!(ids.trim().len(), 64, "{ids}");
    let inside = type_in(&format!("do inspect polls/Tally {}", ids.trim())).succeed().await;
    assert_says(&inside, &["\"votes\"", "\"colour\"", ids.trim()]);
    let query = type_in("do query polls/Tally").argument("spring vote").argument("SELECT who, n FROM votes");
    assert_eq!(query.succeed().await, "who  n\nada  3\n");
    let file = folder.path().join("polls.tar").display().to_string();
    let _ = type_in("do backup polls/Tally").argument(&file).succeed().await;
    let _ = server.get("polls.localhost", "/").await.expect(200);
    let _ = type_in("do restore polls/Tally").argument(&file).succeed().await;
    let count =
        type_in("do query polls/Tally").argument("spring vote").argument("SELECT count(*) AS n FROM votes");
    assert_eq!(count.succeed().await, "n\n1\n");
    let refused = type_in("do restore polls/Tally").argument("/nowhere.tar").refused().await;
    assert_says(&refused, &["read /nowhere.tar"]);
    let unknown = type_in("do inspect polls/Nobody x").refused().await;
    assert_says(&unknown, &["no Durable Object namespace `polls/Nobody`", "`skerry do list` shows them"]);
    server.stop().await;
}

#[tokio::test]
async fn env_speaks_of_a_running_server_of_a_stopped_one_and_of_none() {
    let never = DataFolder::new();
    let error = type_words("env").data(never.path()).refused().await;
    assert_says(&error, &["no server has been started on", "hint: the first `skerry serve`"]);

    let server = Server::start().await;
    let folder = server.folder();
    let running = type_words("env").data(folder.path()).run().await;
    assert_eq!((running.code, running.stderr.as_str()), (Some(0), ""));
    let base = format!("http://{}/client/v4", server.api_address());
    let lines = [
        format!("export CLOUDFLARE_API_BASE_URL={base}"),
        format!("export CLOUDFLARE_BASE_URL={base}"),
        format!("export CLOUDFLARE_API_TOKEN={}", server.token()),
        format!("export CLOUDFLARE_ACCOUNT_ID={}", server.account()),
        "export WRANGLER_SEND_METRICS=false".to_owned(),
        format!("export AWS_ACCESS_KEY_ID={}", server.environment()["AWS_ACCESS_KEY_ID"]),
        format!("export AWS_SECRET_ACCESS_KEY={}", server.environment()["AWS_SECRET_ACCESS_KEY"]),
        format!("export AWS_ENDPOINT_URL={}", server.s3()),
        "export AWS_REGION=auto".to_owned(),
    ];
    assert_eq!(running.stdout.lines().collect::<Vec<_>>(), lines);

    let token = server.token().to_owned();
    assert!(folder.path().join("run/addresses.json").is_file());
    server.stop().await;
    assert!(!folder.path().join("run/addresses.json").exists(), "a stopped server has no address");
    let stopped = type_words("env").data(folder.path()).run().await;
    assert_eq!(stopped.code, Some(0));
    assert_says(&stopped.stderr, &["hint: the server does not run", "`skerry serve`"]);
    assert_says(&stopped.stdout, &["http://127.0.0.1:8788/client/v4", "=http://127.0.0.1:8789", &token]);
}

#[tokio::test]
async fn a_server_killed_without_warning_is_known_to_be_gone() {
    let folder = Server::start().await.kill().await;
    let error = type_words("urls").data(folder.path()).refused().await;
    assert_says(&error, &["no server runs on", "hint: start one with `skerry serve`"]);
    Server::builder().folder(&folder).start().await.stop().await;
}

#[tokio::test]
async fn urls_say_where_each_worker_answers() {
    let server = Server::start().await;
    let folder = server.folder();
    let urls = |words: &str| type_words(words).data(folder.path());
    let none = urls("urls").run().await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert_says(&none.stderr, &["no Worker is deployed", "hint: "]);

    server.deploy(&Script::module("one", HELLO)).await;
    server.deploy(&Script::module("number-two", HELLO)).await;
    let (_, port) = server.http().rsplit_once(':').expect("a door has a port");
    let (one, two) = (format!("http://one.localhost:{port}"), format!("http://number-two.localhost:{port}"));
    let all = urls("urls").succeed().await;
    assert_says(&all, &[&format!("one         {one}\n"), &format!("number-two  {two}\n")]);
    assert_eq!(urls("urls one").succeed().await, format!("one  {one}\n"));
    let rows = urls("urls one --json").succeed().await;
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    assert_eq!(rows, json!([{ "script": "one", "url": one, "domains": [], "routes": [] }]));
    let error = urls("urls three").refused().await;
    assert_says(&error, &["no Worker named `three`", "hint: `skerry urls` shows all"]);
    server.stop().await;
}

#[tokio::test]
async fn serve_says_why_it_does_not_start() {
    let server = Server::start().await;
    let (folder, other) = (server.folder(), DataFolder::new());
    let second = type_words("serve").data(folder.path()).refused().await;
    assert_says(&second, &["is in use by another server", &format!("(process {})", server.pid()), "hint: "]);

    let taken = type_words(&format!("serve --api 127.0.0.1:0 --http {}", server.http()));
    let taken = taken.data(other.path()).refused().await;
    assert_says(&taken, &[&format!("listen on {}", server.http()), "in use", "hint: ", "--http"]);
    server.stop().await;

    let settings = other.path().join("settings.toml");
    std::fs::write(&settings, "[server]\nhtpp = \"127.0.0.1:1\"\n").expect("write the settings");
    let serve = format!("serve --config {}", settings.display());
    let wrong = type_words(&serve).data(other.path()).refused().await;
    assert_says(&wrong, &["unknown field `htpp`", "line 2", "`http`", "hint: docs/settings.md"]);
    let missing = type_words("serve --config /nowhere.toml").data(other.path()).refused().await;
    assert_says(&missing, &["read the settings file `/nowhere.toml`: No such file"]);

    let homeless = type_words("serve").only([("HOME", "")]).refused().await;
    assert_says(&homeless, &["neither SKERRY_DATA nor HOME is set", "hint: name it with --data"]);
}

#[tokio::test]
async fn doctor_looks_at_everything_and_says_what_to_do() {
    let folder = DataFolder::new();
    let report = type_words("doctor").data(folder.path()).succeed().await;
    for check in ["engine", "permissions", "secrets", "sandbox", "disk", "limits"] {
        let line = report.lines().find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(check)));
        let line = line.unwrap_or_else(|| panic!("no line for {check} in:\n{report}"));
        assert!(line.starts_with("ok ") || line.starts_with("weak "), "{line}");
    }
    let sick = type_words("doctor").data(folder.path()).only([("PATH", "")]).run().await;
    assert_eq!(sick.code, Some(1));
    assert_says(&sick.stdout, &["BAD   engine", "is not installed", "run `skerry engine install`"]);
    assert_says(&sick.stderr, &["error: one check failed"]);
}

#[tokio::test]
async fn scrub_names_the_damaged_objects_of_all_buckets() {
    let server = Server::start().await;
    let buckets = "/accounts/{account}/r2/buckets";
    for bucket in ["one", "two"] {
        let _ = server.api(http::Method::POST, buckets, Some(&json!({ "name": bucket }))).await.expect(200);
        let path = format!("{buckets}/{bucket}/objects/dir/object");
        let put = server.api_request(http::Method::PUT, &path).body(vec![7; 100_000].into());
        let _ = testkit::send(server.api_address(), put.expect("a valid request")).await.expect(200);
    }
    let folder = server.folder();
    let scrub = |words: &str| type_words(words).data(folder.path());
    let sound = scrub("r2 scrub").run().await;
    assert_eq!((sound.code, sound.stdout.as_str()), (Some(0), ""));
    assert_says(&sound.stderr, &["no damage in 2 objects of 2 buckets"]);

    let file = bodies(&folder.path().join("r2")).pop().expect("a body is a file");
    let mut content = std::fs::read(&file).expect("read it");
    content[5_000] ^= 1;
    std::fs::write(&file, content).expect("write it");
    let damaged = scrub("r2 scrub").run().await;
    assert_eq!(damaged.code, Some(1));
    assert_says(&damaged.stdout, &["/dir/object: ", "block 0 has a wrong checksum"]);
    assert_eq!(damaged.stdout.lines().count(), 1);
    assert_says(&damaged.stderr, &["error: 1 damaged objects among 2 objects of 2 buckets", "hint: "]);
    assert_says(&scrub("r2 scrub none").refused().await, &["bucket does not exist"]);
    server.stop().await;
}

/// Files without an extension below a folder.
fn bodies(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("list").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_none());
    folders.iter().flat_map(|folder| bodies(folder)).chain(files).collect()
}
