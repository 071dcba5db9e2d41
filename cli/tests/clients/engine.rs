//! Where the server finds its engine, and what it says when it finds none or another.

use std::{sync::Arc, time::Duration};

use testkit::{Clients, DataFolder, Script, Server};

use crate::terminal::{assert_says, type_words};

/// How long a server may take to say where its engine is.
const START_LIMIT: Duration = Duration::from_secs(30);

const HELLO: &str = "export default { fetch: () => new Response('hello') };";

#[tokio::test]
async fn without_an_engine_serve_says_how_to_get_one() {
    let folder = DataFolder::new();
    let serve = || type_words("serve --http 127.0.0.1:0 --api 127.0.0.1:0").data(folder.path());
    let missing = serve().only([("PATH", "")]).refused().await;
    assert_says(&missing, &["is not installed", "hint: install it with `skerry engine install`"]);
    let no_engine = serve().only([("SKERRY_WORKERD", "/bin/true")]).refused().await;
    assert_says(&no_engine, &["SKERRY_WORKERD names `/bin/true`", "does not run as workerd", "hint: unset"]);
    let nowhere = serve().only([("SKERRY_WORKERD", "/nowhere")]).refused().await;
    assert_says(&nowhere, &["SKERRY_WORKERD names `/nowhere`", "No such file"]);
}

#[tokio::test]
async fn another_engine_than_the_tested_one_is_used_with_a_warning() {
    let package = Clients::find().workerd();
    let package = package.ancestors().nth(2).and_then(|folder| folder.file_name()).expect("a package's name");
    let older = Clients::find().package("wrangler-4-86/node_modules/@cloudflare").join(package);
    let older = older.join("bin/workerd");
    let server = Server::builder().env("SKERRY_WORKERD", &older.display().to_string()).start().await;
    server.log().expect("is not the version this build was tested with");
    let warning = server.log().lines().into_iter().find(|line| line.contains("WARN"));
    assert_says(&warning.unwrap_or_default(), &["SKERRY_WORKERD", "workerd 2026-04-26"]);
    let mut script = Script::module("older", HELLO);
    script.metadata["compatibility_date"] = "2026-04-01".into();
    server.deploy(&script).await;
    assert_eq!(server.get("older.localhost", "/").await.expect(200).text(), "hello");
    server.stop().await;
}

#[tokio::test]
async fn an_installed_engine_is_found_in_the_data_folder() {
    let folder = Arc::new(DataFolder::new());
    let printed = type_words("engine install").data(folder.path()).inheriting().succeed().await;
    let program = printed.trim();
    assert!(program.starts_with(&folder.path().display().to_string()), "{program}");

    let server = Server::builder().env("SKERRY_WORKERD", "").folder(&folder).start().await;
    let found = server.log().wait_for("Engine found in the data folder", START_LIMIT).await;
    assert_says(&found, &[program]);
    server.deploy(&Script::module("installed", HELLO)).await;
    assert_eq!(server.get("installed.localhost", "/").await.expect(200).text(), "hello");
    server.stop().await;
}
