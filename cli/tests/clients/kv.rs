//! `wrangler kv`: namespaces and keys.

use http::Method;
use serde_json::{Value, json};
use testkit::{Finished, Project, Server, Wrangler};

use crate::terminal::assert_says;

const UNKNOWN: &str = "ffffffffffffffffffffffffffffffff";

struct Terminal<'a> {
    server: &'a Server,
    wrangler: Wrangler,
    project: Project,
}

impl Terminal<'_> {
    async fn succeed(&self, words: &str) -> String {
        self.command(words).succeed().await.stdout
    }

    async fn fail(&self, words: &str) -> Finished {
        self.command(words).fail().await
    }

    /// What a command prints as JSON.
    async fn list(&self, words: &str) -> Vec<Value> {
        let text = self.succeed(words).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in the list `{text}`"))
    }

    fn command(&self, words: &str) -> testkit::WranglerCommand {
        self.server.wrangler(self.wrangler, self.project.path()).args(words.split_whitespace())
    }
}

/// A namespace with its keys, from its making to its end.
async fn keep(wrangler: Wrangler) {
    let server = Server::start().await;
    let project = Project::new()
        .file("value.bin", BINARY)
        .file("pairs.json", PAIRS)
        .file("names.json", NAMES)
        .file("many.json", many().to_string());
    let terminal = Terminal { server: &server, wrangler, project };

    let created = terminal.succeed("kv namespace create mine").await;
    let namespaces = terminal.list("kv namespace list").await;
    let [namespace] = namespaces.as_slice() else { panic!("one namespace expected: {namespaces:?}") };
    assert_eq!(namespace["title"], "mine");
    let id = namespace["id"].as_str().expect("a namespace has an id");
    assert_says(&created, &[id]);
    let taken = terminal.fail("kv namespace create mine").await.all();
    assert_says(&taken, &["A KV namespace with the title \"mine\" already exists."]);

    keys(&terminal, id).await;
    bulk(&terminal, id).await;

    terminal.succeed(&format!("kv namespace rename --namespace-id {id} --new-name yours")).await;
    assert_eq!(terminal.list("kv namespace list").await[0]["title"], "yours");
    let preview = terminal.succeed("kv namespace create mine --preview").await;
    let titles = terminal.list("kv namespace list").await;
    let preview_id =
        titles.iter().find(|namespace| namespace["title"] == "mine_preview").map(|found| &found["id"]);
    let preview_id = preview_id.and_then(Value::as_str).unwrap_or_else(|| panic!("no preview in {titles:?}"));
    assert_says(&preview, &["preview_id", preview_id]);
    terminal.succeed(&format!("kv namespace delete --namespace-id {preview_id}")).await;

    terminal.succeed(&format!("kv namespace delete --namespace-id {id}")).await;
    assert!(terminal.list("kv namespace list").await.is_empty());
    let missing = terminal.fail(&format!("kv key list --namespace-id {UNKNOWN} --remote")).await.all();
    assert_says(&missing, &["namespace not found", "[code: 10013]"]);
    server.stop().await;
}

const BINARY: [u8; 4] = [0, 255, 10, 13];

async fn keys(terminal: &Terminal<'_>, id: &str) {
    let Terminal { server, .. } = terminal;
    let on = format!("--namespace-id {id} --remote");
    terminal.succeed(&format!("kv key put user:ada Lovelace --metadata {{\"n\":1}} --ttl 3600 {on}")).await;
    terminal.succeed(&format!("kv key put bin/a+b --path value.bin {on}")).await;
    let text = terminal.succeed(&format!("kv key get user:ada --text {on}")).await;
    assert_eq!(text.trim_end(), "Lovelace");
    let path = format!("/accounts/{{account}}/storage/kv/namespaces/{id}/values/bin%2Fa%2Bb");
    let stored = server.api(Method::GET, &path, None).await.expect(200);
    assert_eq!(stored.body.as_ref(), BINARY, "every byte of the file");

    let all = terminal.list(&format!("kv key list {on}")).await;
    let names: Vec<_> = all.iter().map(|key| key["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["bin/a+b", "user:ada"]);
    let some = terminal.list(&format!("kv key list --prefix user: {on}")).await;
    assert_eq!((some.len(), &some[0]["metadata"]), (1, &json!({ "n": 1 })));
    assert!(some[0]["expiration"].is_u64(), "a key with --ttl expires: {some:?}");

    terminal.succeed(&format!("kv key delete user:ada {on}")).await;
    let gone = terminal.fail(&format!("kv key get user:ada --text {on}")).await;
    assert_says(&gone.all(), &["404: Not Found"]);
}

const PAIRS: &str = r#"[
    {"key": "bulk/1", "value": "one", "metadata": {"n": 1}},
    {"key": "bulk/2", "value": "dHdv", "base64": true, "expiration_ttl": 3600},
    {"key": "bulk/3", "value": "three"}
]"#;

const NAMES: &str = r#"["bulk/1", "bulk/2"]"#;

const MANY: usize = 1_100;

fn many() -> Value {
    (0..MANY)
        .map(|number| json!({ "key": format!("many/{number:04}"), "value": number.to_string() }))
        .collect()
}

async fn bulk(terminal: &Terminal<'_>, id: &str) {
    let on = format!("--namespace-id {id} --remote");
    terminal.succeed(&format!("kv bulk put pairs.json {on}")).await;
    let read = terminal.succeed(&format!("kv bulk get names.json {on}")).await;
    assert_says(&read, &["bulk/1", "one", "bulk/2", "two"]);
    terminal.succeed(&format!("kv bulk delete names.json --force {on}")).await;
    let left = terminal.list(&format!("kv key list --prefix bulk/ {on}")).await;
    assert_eq!(left, [json!({ "name": "bulk/3" })]);

    // More than a page of a list.
    terminal.succeed(&format!("kv bulk put many.json {on}")).await;
    assert_eq!(terminal.list(&format!("kv key list --prefix many/ {on}")).await.len(), MANY);
}

#[tokio::test]
async fn the_old_wrangler_keeps_keys_and_values() {
    keep(Wrangler::Old).await;
}

#[tokio::test]
async fn the_new_wrangler_keeps_keys_and_values() {
    keep(Wrangler::New).await;
}
