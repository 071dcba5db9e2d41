//! What `wrangler deploy` and its relatives do.

use serde_json::json;
use testkit::{Project, Server, Wrangler};

use crate::terminal::assert_says;

/// A project in TypeScript with one of each thing that a Worker can be given.
fn project(name: &str) -> Project {
    let config = format!(
        r#"
        name = "{name}"
        main = "src/index.ts"
        compatibility_date = "2026-04-01"
        compatibility_flags = ["nodejs_compat"]
        kv_namespaces = [{{ binding = "STORE" }}]
        version_metadata = {{ binding = "VERSION" }}
        rules = [{{ type = "Data", globs = ["**/*.dat"], fallthrough = true }}]
        [vars]
        COLOR = "red"
        NESTED = {{ a = [1, {{ b = true }}] }}
        "#
    );
    let source = r#"
        import { createHash } from "node:crypto";
        import add from "./add.wasm";
        import bytes from "./bytes.dat";
        import text from "./hello.txt";
        import { tag } from "./tag";

        interface Env { COLOR: string; NESTED: unknown; STORE: KVNamespace; VERSION: { id: string } }
        export default {
          async fetch(request: Request, env: Env): Promise<Response> {
            const visits = Number(await env.STORE.get("visits")) + 1;
            await env.STORE.put("visits", String(visits));
            const { exports } = new WebAssembly.Instance(add);
            return Response.json({
              color: env.COLOR, nested: env.NESTED, id: env.VERSION.id, tag, text, visits,
              bytes: Buffer.from(bytes).toString("hex"),
              md5: createHash("md5").update("a").digest("hex"),
              sum: (exports.add as CallableFunction)(2, 3),
            });
          },
        };
    "#;
    Project::new()
        .file("wrangler.toml", config)
        .file("src/index.ts", source)
        .file("src/tag.ts", "export const tag: string = 'first';\n")
        .file("src/hello.txt", "hello")
        .file("src/bytes.dat", [0, 255])
        .file("src/add.wasm", ADD)
}

/// `(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))`
const ADD: &[u8] =
    b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\x07\x07\x01\x03add\0\0\
    \x0a\x09\x01\x07\0\x20\0\x20\x01\x6a\x0b";

/// Deploys, deploys anew, looks at what is there, deletes.
async fn live(wrangler: Wrangler, history: &[(&str, &[&str])]) {
    let server = Server::start().await;
    let project = project("whole");
    let run = |words: &str| server.wrangler(wrangler, project.path()).args(words.split_whitespace());

    let who = run("whoami").succeed().await.all();
    assert_says(&who, &["API Token", "owner@localhost", "Skerry", server.account()]);

    let first = version_of(&run("deploy").succeed().await.stdout);
    let answer = server.get("whole.localhost", "/").await.expect(200).json();
    let expected = |id: &str, tag: &str, visits: u32| {
        json!({
            "color": "red", "nested": { "a": [1, { "b": true }] }, "id": id, "tag": tag, "text": "hello",
            "visits": visits, "bytes": "00ff", "md5": "0cc175b9c0f1b6a831c399e269772661", "sum": 5,
        })
    };
    assert_eq!(answer, expected(&first, "first", 1));

    project.write("src/tag.ts", "export const tag: string = 'second';\n");
    let second = version_of(&run("deploy").succeed().await.stdout);
    let answer = server.get("whole.localhost", "/").await.expect(200).json();
    assert_eq!(answer, expected(&second, "second", 2), "the same namespace, the new code, at once");

    for (words, said) in history {
        let printed = run(words).succeed().await.stdout;
        assert_says(&printed, said);
        assert_says(&printed, &[&second]);
    }

    run("delete --force").succeed().await;
    let _ = server.get("whole.localhost", "/").await.expect(404);
    let namespaces = run("kv namespace list").succeed().await.stdout;
    assert_says(&namespaces, &["\"whole-store\""]);
    server.stop().await;
}

#[tokio::test]
async fn a_worker_lives_from_its_first_deploy_to_its_end_with_the_old_wrangler() {
    let history: [(&str, &[&str]); 2] =
        [("deployments list", &["Author:      owner@localhost", "(100%)"]), ("versions list", &["Upload"])];
    live(Wrangler::Old, &history).await;
}

#[tokio::test]
async fn a_worker_lives_from_its_first_deploy_to_its_end_with_the_new_wrangler() {
    let history: [(&str, &[&str]); 2] =
        [("deployments status", &["Author:      owner@localhost", "(100%)"]), ("versions list", &["Upload"])];
    live(Wrangler::New, &history).await;
}

#[tokio::test]
async fn environments_dry_runs_and_kept_variables_do_what_wrangler_promises() {
    let server = Server::start().await;
    let config = r#"
        name = "site"
        main = "index.js"
        compatibility_date = "2026-04-01"
        vars = { COLOR = "red" }
        env.staging.vars = { COLOR = "blue" }
    "#;
    let source = "export default { fetch: (request, env) => Response.json(env) };";
    let project = Project::new().file("wrangler.toml", config).file("index.js", source);
    let run = |words: &str| server.wrangler(Wrangler::New, project.path()).args(words.split_whitespace());

    let nowhere = "http://127.0.0.1:9/client/v4";
    let dry = run("deploy --dry-run --env=").env("CLOUDFLARE_API_BASE_URL", nowhere).succeed().await;
    assert_says(&dry.stdout, &["--dry-run: exiting now."]);
    let _ = server.get("site.localhost", "/").await.expect(404);

    run("deploy --env staging").succeed().await;
    let _ = server.get("site.localhost", "/").await.expect(404);
    let staging = server.get("site-staging.localhost", "/").await.expect(200);
    assert_eq!(staging.json(), json!({ "COLOR": "blue" }));

    run("deploy --env= --var EXTRA:kept").succeed().await;
    run("deploy --env= --keep-vars").succeed().await;
    let kept = server.get("site.localhost", "/").await.expect(200).json();
    assert_eq!(kept, json!({ "COLOR": "red", "EXTRA": "kept" }));
    run("deploy --env=").succeed().await;
    let plain = server.get("site.localhost", "/").await.expect(200).json();
    assert_eq!(plain, json!({ "COLOR": "red" }), "what is not kept is gone");
    server.stop().await;
}

#[tokio::test]
async fn a_worker_in_service_worker_format_finds_all_it_has_as_globals() {
    let server = Server::start().await;
    let config = r#"
        name = "classic"
        main = "index.js"
        compatibility_date = "2026-04-01"
        vars = { COLOR = "red" }
        kv_namespaces = [{ binding = "STORE" }]
        wasm_modules = { ADD = "add.wasm" }
        text_blobs = { WORDS = "words.txt" }
        data_blobs = { BYTES = "bytes.bin" }
    "#;
    let source = r#"
        addEventListener("fetch", (event) => event.respondWith(answer()));
        async function answer() {
          await STORE.put("key", "value");
          const sum = new WebAssembly.Instance(ADD).exports.add(2, 3);
          const bytes = [...new Uint8Array(BYTES)];
          return Response.json({ color: COLOR, kv: await STORE.get("key"), words: WORDS, bytes, sum });
        }
    "#;
    let project = Project::new()
        .file("wrangler.toml", config)
        .file("index.js", source)
        .file("words.txt", "some words")
        .file("bytes.bin", [0, 255])
        .file("add.wasm", ADD);
    server.wrangler(Wrangler::Old, project.path()).args(["deploy"]).succeed().await;
    let answer = server.get("classic.localhost", "/").await.expect(200).json();
    let expected =
        json!({ "color": "red", "kv": "value", "words": "some words", "bytes": [0, 255], "sum": 5 });
    assert_eq!(answer, expected);
    server.stop().await;
}

/// The version that a deploy command says it deployed.
fn version_of(stdout: &str) -> String {
    let line = stdout.lines().find_map(|line| line.strip_prefix("Current Version ID: "));
    line.unwrap_or_else(|| panic!("no version in:\n{stdout}")).trim().to_owned()
}
