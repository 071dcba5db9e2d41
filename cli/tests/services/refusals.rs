//! What a Worker must not reach: bindings it was not given, and the inside of those it was.

use serde_json::json;
use testkit::Server;

use crate::support::{ask, asking, being, service};

#[tokio::test]
async fn a_forged_header_reaches_no_other_binding() {
    let server = Server::start().await;
    server.deploy(&being("first", "first")).await;
    server.deploy(&being("second", "second")).await;
    let body = r#"
        const headers = { "x-skerry-binding": "SECOND" };
        return [
            await (await env.FIRST.fetch("http://x/", { headers })).text(),
            await (await env.FIRST.fetch(new Request("http://x/", { headers }))).text(),
        ];"#;
    let caller =
        asking("caller", body).binding(service("FIRST", "first")).binding(service("SECOND", "second"));
    server.deploy(&caller).await;
    assert_eq!(ask(&server, "caller", "/").await.expect(200).json(), json!(["first", "first"]));
    server.stop().await;
}

/// The authority under which workerd itself makes calls on the binding `TARGET`, without what only workerd knows.
const AUTHORITY: &str = "544152474554.binding";

#[tokio::test]
async fn a_socket_cannot_name_a_binding() {
    let server = Server::start().await;
    server.deploy(&being("target", "target")).await;
    let body = format!(
        r#"
        const outcomes = {{}};
        const sockets = {{
            outside: () => connect("{AUTHORITY}:80"),
            binding: () => env.TARGET.connect("{AUTHORITY}:80"),
            bare: () => env.TARGET.connect("{AUTHORITY}:1"),
            other: () => env.TARGET.connect("skerry.rpc:80"),
        }};
        for (const [name, open] of Object.entries(sockets)) {{
            try {{
                const socket = open();
                await Promise.race([socket.opened, scheduler.wait(3000).then(() => {{ throw new Error("late") }})]);
                outcomes[name] = "opened";
            }} catch (error) {{
                outcomes[name] = "refused: " + error.message;
            }}
        }}
        return outcomes;"#
    );
    server.deploy(&asking("caller", &body).binding(service("TARGET", "target"))).await;
    let outcomes = ask(&server, "caller", "/").await.expect(200).json();
    for (name, outcome) in outcomes.as_object().expect("an object") {
        assert!(outcome.as_str().is_some_and(|text| text.starts_with("refused")), "{name}: {outcome}");
    }
    server.stop().await;
}
