//! Classes that are declared in `exports`, as the real wrangler sends and shows them: made, renamed, deleted, passed to another
//! Worker in two phases, and staged in a version that is deployed later.

use serde_json::{Value, json};
use testkit::{Finished, Project, Server, Wrangler};

/// A project whose settings a test changes from step to step.
struct Steps<'a> {
    server: &'a Server,
    name: &'static str,
    project: Project,
}

impl<'a> Steps<'a> {
    fn new(server: &'a Server, name: &'static str) -> Self {
        Self { server, name, project: Project::new() }
    }

    /// Settings with these exports, code that exports `in_code`, and a binding to one of them.
    fn write(&self, exports: &Value, in_code: &[&str], bound: Option<&str>) {
        let mut settings = json!({
            "name": self.name, "main": "index.js", "compatibility_date": "2026-04-01", "exports": exports,
        });
        if let Some(class) = bound {
            settings["durable_objects"] = json!({ "bindings": [{ "name": "OBJECTS", "class_name": class }] });
        }
        self.project.write("wrangler.jsonc", settings.to_string());
        let classes = in_code.iter().map(|class| CLASS.replace("CLASS", class));
        let source = format!("{HEAD}{}{MAIN}", classes.collect::<String>());
        self.project.write("index.js", source);
    }

    async fn deploy(&self) -> String {
        self.run("deploy").await.stdout
    }

    async fn run(&self, words: &str) -> Finished {
        let wrangler = self.server.wrangler(Wrangler::New, self.project.path());
        wrangler.args(words.split_whitespace()).succeed().await
    }

    async fn refused(&self, words: &str) -> String {
        let wrangler = self.server.wrangler(Wrangler::New, self.project.path());
        wrangler.args(words.split_whitespace()).fail().await.all()
    }

    async fn count(&self) -> String {
        self.server.get(&format!("{}.localhost", self.name), "/").await.expect(200).text()
    }
}

const HEAD: &str = "import { DurableObject } from 'cloudflare:workers';\n";
const CLASS: &str = "export class CLASS extends DurableObject {
    async count() {
        const n = ((await this.ctx.storage.get('n')) ?? 0) + 1;
        await this.ctx.storage.put('n', n);
        return n;
    }
}\n";
const MAIN: &str = "export default {
    fetch: async (request, env) => new Response(env.OBJECTS ? await env.OBJECTS.getByName('visits').count() : 'unbound'),
};\n";

fn live() -> Value {
    json!({ "type": "durable-object", "storage": "sqlite" })
}

fn gone() -> Value {
    json!({ "type": "durable-object", "state": "deleted" })
}

fn says(printed: &str, expected: &[&str]) {
    for expected in expected {
        assert!(printed.contains(expected), "`{expected}` in:\n{printed}");
    }
}

#[tokio::test]
async fn declared_classes_are_made_renamed_and_deleted_by_wrangler() {
    let server = Server::start().await;
    let steps = Steps::new(&server, "declared");
    steps.write(&json!({ "Phantom": live() }), &[], None);
    let refused = steps.refused("deploy").await;
    says(
        &refused,
        &["reconciliation failed", "[config_references_nonexistent_class] class 'Phantom'", "Suggestion"],
    );

    steps.write(&json!({ "Counter": live() }), &["Counter"], Some("Counter"));
    says(&steps.deploy().await, &["Durable Object exports reconciliation:", "Created: Counter"]);
    assert_eq!([steps.count().await, steps.count().await], ["1", "2"]);
    let again = steps.deploy().await;
    assert!(!again.contains("reconciliation"), "{again}");
    assert_eq!(steps.count().await, "3");

    let renamed = json!({ "type": "durable-object", "state": "renamed", "renamed_to": "Teller" });
    steps.write(&json!({ "Teller": live(), "Counter": renamed }), &["Teller"], Some("Teller"));
    says(&steps.deploy().await, &["Renamed: Counter → Teller"]);
    assert_eq!(steps.count().await, "4");
    let stale = steps.deploy().await;
    says(&stale, &["[stale_tombstone] Counter", "Safe to remove from `exports`: Counter"]);

    steps.write(&json!({ "Teller": gone() }), &["Teller"], None);
    says(&steps.refused("deploy").await, &["[tombstone_delete_class_still_in_code] class 'Teller'"]);
    steps.write(&json!({ "Teller": gone() }), &[], None);
    says(&steps.deploy().await, &["Deleted: Teller"]);
    steps.write(&json!({ "Teller": live() }), &["Teller"], Some("Teller"));
    says(&steps.deploy().await, &["Created: Teller"]);
    assert_eq!(steps.count().await, "1");
    server.stop().await;
}

#[tokio::test]
async fn a_declared_class_passes_to_another_worker_in_two_phases() {
    let server = Server::start().await;
    let (giver, taker) = (Steps::new(&server, "giver"), Steps::new(&server, "taker"));
    giver.write(&json!({ "Widget": live() }), &["Widget"], Some("Widget"));
    giver.deploy().await;
    assert_eq!([giver.count().await, giver.count().await], ["1", "2"]);

    let given = json!({ "type": "durable-object", "state": "transferred", "transferred_to": "taker" });
    let expected = json!({ "type": "durable-object", "state": "expecting-transfer", "storage": "sqlite",
        "transfer_from": "giver" });
    taker.write(&json!({ "Widget": expected }), &["Widget"], None);
    says(&taker.deploy().await, &["Transfer pending: Widget ← giver"]);
    assert_eq!([giver.count().await, taker.count().await], ["3", "unbound"], "nothing has passed over yet");

    giver.write(&json!({ "Widget": given }), &[], None);
    says(&giver.deploy().await, &["Transferred (committed): Widget → taker"]);
    says(&taker.deploy().await, &["[transfer_receive_already_applied] Widget"]);
    taker.write(&json!({ "Widget": live() }), &["Widget"], Some("Widget"));
    let last = taker.deploy().await;
    assert!(!last.contains("Created") && !last.contains("pending"), "{last}");
    assert_eq!([giver.count().await, taker.count().await], ["unbound", "4"]);
    says(&giver.deploy().await, &["[stale_tombstone] Widget"]);
    server.stop().await;
}

#[tokio::test]
async fn a_version_that_is_only_uploaded_declares_what_is_done_when_it_is_deployed() {
    let server = Server::start().await;
    let steps = Steps::new(&server, "staged");
    steps.write(&json!({ "First": live() }), &["First"], Some("First"));
    steps.deploy().await;
    assert_eq!(steps.count().await, "1");

    let both = json!({ "First": live(), "Second": live() });
    steps.write(&both, &["First", "Second"], Some("Second"));
    says(&steps.refused("versions upload").await, &["Second", "made when a version is deployed"]);
    steps.write(&both, &["First", "Second"], Some("First"));
    let uploaded = steps.run("versions upload").await.stdout;
    assert!(!uploaded.contains("reconciliation"), "{uploaded}");
    let version = uploaded.split("Worker Version ID:").nth(1).expect("an id");
    let version = version.split_whitespace().next().expect("an id").to_owned();
    assert_eq!(namespaces(&server).await, ["First"]);

    let active =
        server.api(http::Method::GET, "/accounts/{account}/workers/scripts/staged/deployments", None).await;
    let active = active.json()["result"]["deployments"][0]["versions"][0]["version_id"].clone();
    let active = active.as_str().expect("an id").to_owned();
    let split = steps.refused(&format!("versions deploy {version}@50% {active}@50% --yes")).await;
    says(&split, &["same Durable Object `exports`"]);
    steps.run(&format!("versions deploy {version}@100% --yes")).await;
    assert_eq!(namespaces(&server).await, ["First", "Second"]);
    assert_eq!(steps.count().await, "2");
    // A change of secrets keeps what is declared.
    let secret = steps.server.wrangler(Wrangler::New, steps.project.path());
    secret.args(["secret", "put", "KEY"]).input("value").succeed().await;
    assert_eq!((steps.count().await.as_str(), namespaces(&server).await.len()), ("3", 2));
    server.stop().await;
}

async fn namespaces(server: &Server) -> Vec<String> {
    let path = "/accounts/{account}/workers/durable_objects/namespaces";
    let listed = server.api(http::Method::GET, path, None).await.expect(200).json();
    let rows = listed["result"].as_array().expect("a list").iter();
    rows.map(|row| row["class"].as_str().expect("a class").to_owned()).collect()
}
