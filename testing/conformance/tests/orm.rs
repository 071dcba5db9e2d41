//! drizzle-orm and Kysely on D1: one Worker, bundled by wrangler, deployed to us and run by `wrangler dev`; each step of
//! each library answers the same on both.

use std::{collections::BTreeMap, os::unix::fs::symlink, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use serde_json::{Value, json};
use testkit::{Clients, Project, Server, Wrangler, send};

const HOST: &str = "orm.localhost";

/// In the order in which they build on each other.
const STEPS: [&str; 15] = [
    "drizzle/migrate",
    "drizzle/insert",
    "drizzle/select",
    "drizzle/relational",
    "drizzle/batch",
    "drizzle/prepared",
    "drizzle/transaction",
    "drizzle/change",
    "drizzle/session",
    "kysely/create",
    "kysely/insert",
    "kysely/select",
    "kysely/change",
    "kysely/migrate",
    "kysely/introspect",
];

/// Kysely looks at all tables. In the reference one of them is the platform's own, which nobody may look at, and all fails.
const REFUSED_THERE: [&str; 2] = ["kysely/migrate", "kysely/introspect"];

#[tokio::test]
async fn drizzle_and_kysely_find_in_d1_what_they_find_in_the_reference() {
    let project = project();
    let command = Wrangler::New.command(project.path(), &BTreeMap::new());
    let dev = command.args(["dev", "--ip", "127.0.0.1", "--port", "0"]).start();
    let server = Server::start().await;
    server.wrangler(Wrangler::New, project.path()).args(["deploy"]).succeed().await;
    let ready = dev.log().wait_for("Ready on http://", Duration::from_secs(60)).await;
    let (_, reference) = ready.split_once("http://").expect("the line was found by this text");

    let mut ours = BTreeMap::new();
    for step in STEPS {
        let theirs = ask(reference.trim(), step).await;
        let answer = ask(server.http(), step).await;
        if REFUSED_THERE.contains(&step) {
            assert!(theirs.to_string().contains("not authorized: SQLITE_AUTH"), "{step}: {theirs}");
        } else {
            assert_eq!(answer, theirs, "{step}: ours on the left, the reference's on the right");
        }
        ours.insert(step, answer);
    }
    // Lest both fail alike.
    let of = |step: &str, pointer: &str| ours[step].pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(of("drizzle/migrate", "/applied").as_array().map(Vec::len), Some(2));
    assert_eq!(of("drizzle/insert", "/made/0/settings/theme"), "dark");
    assert_eq!(of("drizzle/relational", "/many/0/posts/1/tags/0/tag"), "d1");
    assert_eq!(of("drizzle/batch", "/half"), 0);
    assert_eq!(of("drizzle/transaction", "/left"), 0);
    assert_eq!(of("drizzle/change", "/left/0/title"), "post 0!");
    for (run, direction) in ["Up", "Down", "Up"].iter().enumerate() {
        let told = json!([{ "migrationName": "later", "direction": direction, "status": "Success" }]);
        assert_eq!(ours["kysely/migrate"][run], told);
    }
    let columns = r#"succeeded: ["id INTEGER","owner_id INTEGER","name TEXT","kind TEXT","born TEXT"]"#;
    assert_eq!(ours["kysely/introspect"], columns);
    assert_eq!(of("kysely/select", "/nested/0/pets"), json!([{ "name": "Tom", "kind": "cat" }]));
    assert_eq!(of("kysely/change", "/left"), json!([{ "name": "Tom" }]));
    server.stop().await;
}

fn project() -> Project {
    let project = Project::new();
    let file = |path: &str, content: &str| project.write(path, content);
    file("wrangler.toml", include_str!("../projects/orm/wrangler.toml"));
    file("src/index.ts", include_str!("../projects/orm/src/index.ts"));
    file("src/schema.ts", include_str!("../projects/orm/src/schema.ts"));
    file("src/drizzle.ts", include_str!("../projects/orm/src/drizzle.ts"));
    file("src/kysely.ts", include_str!("../projects/orm/src/kysely.ts"));
    file("drizzle/0000_users.sql", include_str!("../projects/orm/drizzle/0000_users.sql"));
    file("drizzle/0001_posts.sql", include_str!("../projects/orm/drizzle/0001_posts.sql"));
    file("drizzle/meta/_journal.json", include_str!("../projects/orm/drizzle/meta/_journal.json"));
    symlink(Clients::find().modules(), project.path().join("node_modules"))
        .expect("link the clients' packages");
    project
}

async fn ask(address: &str, step: &str) -> Value {
    let request = Request::get(format!("/{step}")).header(header::HOST, HOST).body(Bytes::new());
    let answer = send(address, request.expect("a valid path")).await;
    assert_eq!(answer.status, 200, "{step} at {address}: {}", answer.text());
    answer.json()
}
