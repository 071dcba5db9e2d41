//! `wrangler d1`: databases, statements, migrations, import, export and time travel, and `skerry d1 backup`.

use std::fs;

use serde_json::Value;
use testkit::{Clients, Project, Server, Wrangler, command};

use crate::terminal::assert_says;

const MIGRATIONS: [(&str, &str); 2] = [
    (
        "migrations/0001_users.sql",
        "CREATE TABLE IF NOT EXISTS users (
           id TEXT PRIMARY KEY,
           email TEXT UNIQUE NOT NULL,
           role TEXT DEFAULT 'member' CHECK (role IN ('admin', 'member', 'viewer')),
           created_at TEXT DEFAULT (datetime('now'))
         );
         CREATE INDEX idx_users_email ON users (email);
         CREATE TRIGGER lower_email AFTER INSERT ON users BEGIN UPDATE users SET email = lower(new.email) WHERE id = new.id; END;",
    ),
    ("migrations/0002_broken.sql", "CREATE TABLE kept (a); INSERT INTO nobody VALUES (1);"),
];

const IMPORTED: &str = "CREATE TABLE numbers (n INTEGER, text TEXT);
INSERT INTO numbers VALUES (1, 'it''s; one'), (2, 'two');
INSERT INTO users (id, email) VALUES ('u2', 'BOB@example.com');
";

async fn keep(wrangler: Wrangler) {
    let server = Server::start().await;
    let project = Project::new()
        .file("import.sql", IMPORTED)
        .file("bad.sql", "CREATE TABLE bad (a);\nINSERT INTO nowhere VALUES (1);\n");
    let run = |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());
    let created = run("d1 create my-db").succeed().await.stdout;
    assert_says(&run("d1 create my-db").fail().await.all(), &["already exists"]);
    let listed: Vec<Value> =
        serde_json::from_str(&run("d1 list --json").succeed().await.stdout).expect("a list");
    let id = listed[0]["uuid"].as_str().expect("a database has an id");
    assert_says(&created, &[id]);
    let config = format!(
        "name = \"app\"\ncompatibility_date = \"2026-11-01\"\n[[d1_databases]]\nbinding = \"DB\"\ndatabase_name = \"my-db\"\ndatabase_id = \"{id}\"\n"
    );
    project.write("wrangler.toml", config);

    fs::create_dir(project.path().join("migrations")).expect("make the folder");
    for (name, sql) in MIGRATIONS {
        project.write(name, sql);
    }
    let failed = run("d1 migrations apply my-db --remote").fail().await.all();
    assert_says(&failed, &["no such table: nobody"]);
    let rest = run("d1 migrations list my-db --remote").succeed().await.all();
    assert!(rest.contains("0002_broken.sql") && !rest.contains("0001_users.sql"), "{rest}");
    let select = async |sql: &str| {
        let words = ["d1", "execute", "my-db", "--remote", "--json", "--command", sql];
        let finished = server.wrangler(wrangler, project.path()).args(words).succeed().await.stdout;
        let all: Value =
            serde_json::from_str(&finished).unwrap_or_else(|error| panic!("{error}: {finished}"));
        all[0]["results"].clone()
    };
    let tables = "SELECT count(*) AS n FROM sqlite_master WHERE name = 'kept'";
    assert_eq!(select(tables).await[0]["n"], 0, "a migration that fails leaves nothing");

    select("INSERT INTO users (id, email) VALUES ('u1', 'ADA@example.com')").await;
    run("d1 execute my-db --remote --yes --file import.sql").succeed().await;
    let users = select("SELECT email FROM users ORDER BY id").await;
    assert_eq!(users, serde_json::json!([{"email": "ada@example.com"}, {"email": "bob@example.com"}]));
    let bad = run("d1 execute my-db --remote --yes --file bad.sql").fail().await.all();
    assert_says(&bad, &["no such table: nowhere"]);
    let tables = "SELECT count(*) AS n FROM sqlite_master WHERE name = 'bad'";
    assert_eq!(select(tables).await[0]["n"], 0, "an import that fails leaves nothing");

    run("d1 export my-db --remote --output whole.sql").succeed().await;
    let whole = fs::read_to_string(project.path().join("whole.sql")).expect("the export");
    assert_says(
        &whole,
        &["CREATE TABLE numbers", "'it''s; one'", "CREATE INDEX idx_users_email", "CREATE TRIGGER"],
    );
    run("d1 create copy").succeed().await;
    run("d1 execute copy --remote --yes --file whole.sql").succeed().await;
    run("d1 export my-db --remote --no-data --table numbers --output schema.sql").succeed().await;
    let schema = fs::read_to_string(project.path().join("schema.sql")).expect("the export");
    assert!(schema.contains("CREATE TABLE numbers") && !schema.contains("INSERT"), "{schema}");

    let info = run("d1 info my-db").succeed().await.all();
    assert_says(&info, &[id, "num_tables"]);
    let insights = run("d1 insights my-db --sort-type=sum --sort-by=count").succeed().await.all();
    assert_says(&insights, &["\"query\"", "\"numberOfTimesRun\": 2", "queryEfficiency"]);

    let before = bookmark(&run("d1 time-travel info my-db --json").succeed().await.stdout);
    select("DROP TABLE numbers").await;
    run(&format!("d1 time-travel restore my-db --bookmark={before}")).input("y\n").succeed().await;
    assert_eq!(select("SELECT count(*) AS n FROM numbers").await[0]["n"], 2);

    let copy = project.path().join("copy.sqlite");
    let mut skerry = command(env!("CARGO_BIN_EXE_skerry"));
    skerry.args(["d1", "backup", "my-db"]).arg(&copy).arg("--data").arg(server.folder().path());
    let output = skerry.env("SKERRY_WORKERD", Clients::find().workerd()).output().expect("run skerry");
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(&copy).expect("the backup").starts_with(b"SQLite format 3\0"));
    run("d1 delete my-db -y").succeed().await;
    assert_says(&run("d1 info my-db").fail().await.all(), &["could not be found", "7404"]);
    server.stop().await;
}

fn bookmark(info: &str) -> String {
    let info: Value = serde_json::from_str(info).unwrap_or_else(|error| panic!("{error}: {info}"));
    info["bookmark"].as_str().expect("a bookmark").to_owned()
}

#[tokio::test]
async fn the_old_wrangler_keeps_databases() {
    keep(Wrangler::Old).await;
}

#[tokio::test]
async fn the_new_wrangler_keeps_databases() {
    keep(Wrangler::New).await;
}
