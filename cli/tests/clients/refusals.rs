//! What is refused says why, in wrangler's terminal, and leaves what was there before.

use testkit::{Project, Server, Wrangler};

use crate::terminal::{assert_says, type_words};

const OLD: &str = "export default { fetch: () => new Response('old') };";

/// Lines for the configuration, the script, and what wrangler says.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// Scripts that do not start.
const SCRIPTS: [Case; 3] = [
    (
        "",
        "export const nothing = 0;\nexport default { fetch: () => new Response(/[b-a]/.source) };",
        &["SyntaxError: Invalid regular expression", ":2", "[code: 10021]"],
    ),
    (
        "",
        "const nothing = 0;\nthrow new TypeError('boom');\nexport default {};",
        &["Uncaught TypeError: boom", ":2:7", "[code: 10021]"],
    ),
    ("", "for (;;) {}\nexport default {};", &["Script startup exceeded CPU time limit", "[code: 10021]"]),
];

/// Configurations that ask for what is not there.
const CONFIGURATIONS: [Case; 5] = [
    (
        "d1_databases = [{ binding = \"DB\", database_name = \"db\", database_id = \"0\" }]",
        OLD,
        &["D1 binding 'DB' references database '0' which was not found.", "[code: 10181]"],
    ),
    (
        "services = [{ binding = \"OTHER\", service = \"nobody\" }]",
        OLD,
        &["Could not resolve service binding 'OTHER'. Target script 'nobody' not found.", "[code: 10143]"],
    ),
    (
        "queues.producers = [{ binding = \"QUEUE\", queue = \"queue\" }]",
        OLD,
        &["Queues is not supported by this version of Skerry yet", "[code: 10501]"],
    ),
    (
        "compatibility_flags = [\"no_such_flag\"]",
        OLD,
        &["No such compatibility flag: no_such_flag", "[code: 10021]"],
    ),
    (
        "compatibility_flags = [\"unsafe_module\"]",
        OLD,
        &["unsafe_module is experimental and may break", "version of workerd. [code: 10021]"],
    ),
];

fn config(lines: &str) -> String {
    format!("name = \"refused\"\nmain = \"index.js\"\ncompatibility_date = \"2026-04-01\"\n{lines}\n")
}

/// Deploys what answers `old`, then each case, which is refused and changes nothing.
async fn refuse(cases: &[Case]) {
    let server = Server::start().await;
    let project = Project::new().file("wrangler.toml", config("")).file("index.js", OLD);
    let deploy = || server.wrangler(Wrangler::New, project.path()).args(["deploy"]);
    deploy().succeed().await;
    for (lines, source, words) in cases {
        project.write("wrangler.toml", config(lines));
        project.write("index.js", source);
        assert_says(&deploy().fail().await.all(), words);
        let answer = server.get("refused.localhost", "/").await.expect(200);
        assert_eq!(answer.text(), "old", "after the refusal of `{lines}{source}`");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_script_that_does_not_start_is_refused_and_the_old_version_keeps_answering() {
    refuse(&SCRIPTS).await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_had_is_refused_and_the_old_version_keeps_answering() {
    refuse(&CONFIGURATIONS).await;
}

#[tokio::test]
async fn a_first_deploy_that_throws_deploys_nothing() {
    let server = Server::start().await;
    let source = "throw new Error('boom');\nexport default {};";
    let project = Project::new().file("wrangler.toml", config("")).file("index.js", source);
    let refused = server.wrangler(Wrangler::Old, project.path()).args(["deploy"]).fail().await;
    assert_says(&refused.all(), &["Uncaught Error: boom", "[code: 10021]"]);
    let _ = server.get("refused.localhost", "/").await.expect(404);
    server.stop().await;
}

#[tokio::test]
async fn a_token_opens_the_door_from_its_making_to_its_end() {
    let server = Server::start().await;
    let folder = server.folder();
    let project = Project::new();
    let with = |wrangler: Wrangler, token: &str, words: &str| {
        let command = server.wrangler(wrangler, project.path()).env("CLOUDFLARE_API_TOKEN", token);
        command.args(words.split_whitespace())
    };

    let wrong = with(Wrangler::Old, "wrong", "kv namespace list").fail().await.all();
    assert_says(&wrong, &["Authentication error [code: 10000]"]);
    let wrong = with(Wrangler::New, "wrong", "whoami").run().await.all();
    assert_says(&wrong, &["Invalid access token [code: 9109]"]);

    let token = type_words("token create ci").data(folder.path()).succeed().await;
    with(Wrangler::New, token.trim(), "kv namespace list").succeed().await;
    let listed = type_words("token list --json").data(folder.path()).succeed().await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("a list of tokens");
    let row = listed.as_array().into_iter().flatten().find(|row| row["name"] == "ci");
    let id = row.and_then(|row| row["id"].as_str()).expect("the token is listed");
    assert!(!listed.to_string().contains(token.trim()), "a list never shows a token's text");

    type_words(&format!("token revoke {id}")).data(folder.path()).succeed().await;
    let revoked = with(Wrangler::New, token.trim(), "kv namespace list").fail().await.all();
    assert_says(&revoked, &["Authentication error [code: 10000]"]);
    let again = type_words(&format!("token revoke {id}")).data(folder.path()).refused().await;
    assert_says(&again, &[id, "does not exist", "hint: `skerry token list`"]);

    let reader = type_words("token create looker --read-only").data(folder.path()).succeed().await;
    with(Wrangler::New, reader.trim(), "kv namespace list").succeed().await;
    let denied = with(Wrangler::New, reader.trim(), "kv namespace create mine").fail().await.all();
    assert_says(&denied, &["this token has no permission for that"]);
    server.stop().await;
}
