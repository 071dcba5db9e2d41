//! wrangler's commands for secrets, and where their text may not be found.

use std::fs;

use serde_json::Value;
use testkit::{Finished, Project, Server, Wrangler};

const SETTINGS: &str = r#"
name = "vault"
main = "worker.js"
compatibility_date = "2026-01-01"
workers_dev = true
[vars]
PLAIN = "plain"
"#;

/// Says all its variables, and their texts backwards: no answer holds a secret as it was given.
const WORKER: &str = r#"
export default {
    fetch: (request, env) => Response.json(
        Object.fromEntries(Object.keys(env).sort().map((name) => [name, [...env[name]].reverse().join("")]))),
};"#;

/// What every secret of these tests has in it.
const MARK: &str = "plainly-recognisable-4711";

struct Keeper {
    server: Server,
    wrangler: Wrangler,
    project: Project,
}

impl Keeper {
    async fn open(wrangler: Wrangler) -> Self {
        let server = Server::builder().settings("[log]\nfilter = \"trace\"").start().await;
        let project = Project::new().file("wrangler.toml", SETTINGS).file("worker.js", WORKER);
        Self { server, wrangler, project }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Finished {
        let command = self.server.wrangler(self.wrangler, self.project.path());
        command.args(arguments.iter().copied()).input(input).succeed().await
    }

    /// What the Worker finds in its environment.
    async fn seen(&self) -> Value {
        let mut seen = self.server.get("vault.localhost", "/").await.expect(200).json();
        for text in seen.as_object_mut().into_iter().flatten().map(|(_, text)| text) {
            *text = text.as_str().expect("a text").chars().rev().collect::<String>().into();
        }
        seen
    }

    async fn listed(&self, arguments: &[&str]) -> String {
        let printed = self.run(arguments, "").await.all();
        assert!(!printed.contains(MARK), "{printed}");
        printed
    }

    /// Deploys the newest version.
    async fn deploy_latest(&self) {
        let path = "/accounts/{account}/workers/scripts/vault/versions";
        let versions = self.server.api(http::Method::GET, path, None).await.expect(200).json();
        let latest = versions["result"]["items"][0]["id"].as_str().expect("an id").to_owned();
        self.run(&["versions", "deploy", &format!("{latest}@100%"), "--yes"], "").await;
    }

    /// No log line, command line, environment or file of the server has the text of a secret.
    fn check_kept(&self) {
        let children = self.server.children();
        assert!(!children.is_empty());
        for pid in children.iter().map(|child| child.pid).chain([self.server.pid()]) {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("the process runs");
                assert!(!has_mark(&bytes), "/proc/{pid}/{file}");
            }
        }
        assert!(!self.server.log().lines().iter().any(|line| line.contains(MARK)), "in the log");
        let mut folders = vec![self.server.folder().path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("list a folder") {
                let entry = entry.expect("an entry");
                let kind = entry.file_type().expect("a type");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let bytes = fs::read(entry.path()).expect("read a file");
                    assert!(!has_mark(&bytes), "{}", entry.path().display());
                }
            }
        }
    }
}

fn has_mark(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

fn secret(text: &str) -> String {
    format!("{text}-{MARK}")
}

#[tokio::test]
async fn secrets_are_put_listed_and_deleted_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let keeper = Keeper::open(wrangler).await;
        // Before there is a Worker, wrangler makes one that does nothing.
        keeper.run(&["secret", "put", "EARLY"], &secret("early")).await;
        keeper.run(&["deploy"], "").await;
        assert_eq!(keeper.seen().await, serde_json::json!({"EARLY": secret("early"), "PLAIN": "plain"}));

        keeper.run(&["secret", "put", "LATE"], &secret("late")).await;
        let bulk = serde_json::json!({"LATE": secret("later"), "MORE": secret("more")}).to_string();
        keeper.run(&["secret", "bulk"], &bulk).await;
        keeper.run(&["secret", "delete", "EARLY"], "").await;
        let expected = serde_json::json!({"LATE": secret("later"), "MORE": secret("more"), "PLAIN": "plain"});
        assert_eq!(keeper.seen().await, expected);
        let listed = keeper.listed(&["secret", "list"]).await;
        assert!(listed.contains("LATE") && listed.contains("MORE") && !listed.contains("EARLY"), "{listed}");
        keeper.run(&["deploy"], "").await;
        assert_eq!(keeper.seen().await, expected, "a deploy keeps them");
        keeper.check_kept();
        keeper.server.stop().await;
    }
}

#[tokio::test]
async fn secrets_of_a_version_wait_for_its_deployment_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let keeper = Keeper::open(wrangler).await;
        keeper.run(&["deploy"], "").await;
        keeper.run(&["secret", "put", "OLD"], &secret("old")).await;
        let before = keeper.seen().await;
        keeper
            .run(&["versions", "secret", "put", "ONE", "--message", "m", "--tag", "t"], &secret("one"))
            .await;
        let bulk = serde_json::json!({"TWO": secret("two"), "THREE": secret("three")}).to_string();
        keeper.run(&["versions", "secret", "bulk"], &bulk).await;
        keeper.run(&["versions", "secret", "delete", "OLD"], "").await;
        let command = keeper.server.wrangler(wrangler, keeper.project.path());
        let refused = command.args(["secret", "put", "ONE"]).input(&secret("x")).fail().await.all();
        assert!(refused.contains("isn't currently deployed"), "{refused}");
        assert_eq!(keeper.seen().await, before);

        keeper.deploy_latest().await;
        let expected = serde_json::json!({
            "ONE": secret("one"), "TWO": secret("two"), "THREE": secret("three"), "PLAIN": "plain",
        });
        assert_eq!(keeper.seen().await, expected);
        let listed = keeper.listed(&["versions", "secret", "list"]).await;
        assert!(["ONE", "TWO", "THREE"].iter().all(|name| listed.contains(name)), "{listed}");
        assert!(!listed.contains("OLD"), "{listed}");
        keeper.check_kept();
        keeper.server.stop().await;
    }
}
