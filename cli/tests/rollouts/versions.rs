//! wrangler's commands for versions and deployments.

use http::Method;
use testkit::{Project, Server, Wrangler};

const SETTINGS: &str = r#"
name = "app"
main = "worker.js"
compatibility_date = "2026-01-01"
workers_dev = true
preview_urls = true
"#;

fn saying(text: &str) -> String {
    format!("export default {{ fetch: (request, env) => new Response({text:?} + (env.TOKEN ?? \"\")) }};")
}

struct Shop {
    server: Server,
    wrangler: Wrangler,
    project: Project,
}

impl Shop {
    async fn open(wrangler: Wrangler) -> Self {
        let project = Project::new().file("wrangler.toml", SETTINGS).file("worker.js", saying("one"));
        Self { server: Server::start().await, wrangler, project }
    }

    /// Runs a command and returns all it printed.
    async fn run(&self, arguments: &[&str]) -> String {
        let command = self.server.wrangler(self.wrangler, self.project.path());
        command.args(arguments.iter().copied()).succeed().await.all()
    }

    async fn text(&self, host: &str) -> String {
        self.server.get(host, "/").await.expect(200).text()
    }

    /// Ids of all versions, newest first.
    async fn versions(&self) -> Vec<String> {
        let path = "/accounts/{account}/workers/scripts/app/versions";
        let answer = self.server.api(Method::GET, path, None).await.expect(200).json();
        let items = answer["result"]["items"].as_array().expect("a list").iter();
        items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// Asserts that `printed` holds all of `words`.
fn says(printed: &str, words: &[&str]) {
    for word in words {
        assert!(printed.contains(word), "no `{word}` in:\n{printed}");
    }
}

#[tokio::test]
async fn a_version_goes_from_upload_to_rollback_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let shop = Shop::open(wrangler).await;
        shop.run(&["deploy"]).await;
        shop.project.write("worker.js", saying("two"));
        let upload =
            ["versions", "upload", "--tag", "v2", "--message", "the second", "--preview-alias", "next"];
        says(&shop.run(&upload).await, &["next-app.localhost"]);
        let [second, first] = &shop.versions().await[..] else { panic!("two versions") };
        assert_eq!(shop.text("app.localhost").await, "one");
        for host in ["next".to_owned(), second[..8].to_owned()] {
            assert_eq!(shop.text(&format!("{host}-app.localhost")).await, "two");
        }
        says(&shop.run(&["versions", "list"]).await, &[first, second, "v2", "the second", "Upload"]);
        says(&shop.run(&["versions", "view", second]).await, &[second, "v2", "the second"]);

        let (ten, ninety) = (format!("{second}@10%"), format!("{first}@90%"));
        shop.run(&["versions", "deploy", &ten, &ninety, "--message", "a try", "--yes"]).await;
        says(&shop.run(&["deployments", "status"]).await, &["(10%)", second, "(90%)", first, "a try"]);
        shop.run(&["versions", "deploy", &format!("{second}@100%"), "--yes"]).await;
        assert_eq!(shop.text("app.localhost").await, "two");
        shop.run(&["rollback", "--message", "no good", "--yes"]).await;
        assert_eq!(shop.text("app.localhost").await, "one");
        says(&shop.run(&["deployments", "list"]).await, &["no good", "a try", "(10%)", "(100%)"]);
        shop.run(&["triggers", "deploy"]).await;
        shop.server.stop().await;
    }
}

#[tokio::test]
async fn a_rollback_over_a_changed_secret_is_asked_about_with_either_wrangler() {
    for wrangler in Wrangler::ALL {
        let shop = Shop::open(wrangler).await;
        shop.run(&["deploy"]).await;
        let command = shop.server.wrangler(wrangler, shop.project.path());
        command.args(["secret", "put", "TOKEN"]).input("-new").succeed().await;
        assert_eq!(shop.text("app.localhost").await, "one-new");
        let first = shop.versions().await.pop().expect("a version");
        let printed = shop.run(&["rollback", &first, "--message", "back", "--yes"]).await;
        says(&printed, &["The following secrets have changed", "* TOKEN"]);
        assert_eq!(shop.text("app.localhost").await, "one");
        shop.server.stop().await;
    }
}
