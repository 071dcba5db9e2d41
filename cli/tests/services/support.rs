//! What several tests use: two Workers bound to each other, and how to ask the caller.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Answer, Script, Server};

/// How long something may take that happens "at once" on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A binding `name` to the default export of `service`.
pub(crate) fn service(name: &str, service: &str) -> Value {
    json!({ "type": "service", "name": name, "service": service })
}

/// A binding `name` to the exported class `entrypoint` of `service`.
pub(crate) fn entrypoint(name: &str, target: &str, entrypoint: &str) -> Value {
    let mut binding = service(name, target);
    binding["entrypoint"] = json!(entrypoint);
    binding
}

/// A Worker that answers with what `body` (of an async function of `request`, `env`, `ctx`, `url`) returns, as JSON.
pub(crate) fn asking(name: &str, body: &str) -> Script {
    let source = format!(
        r#"
import {{ WorkerEntrypoint, RpcTarget }} from "cloudflare:workers";
import {{ connect }} from "cloudflare:sockets";
async function answer(request, env, ctx, url) {{ {body} }}
export default {{
    async fetch(request, env, ctx) {{
        const url = new URL(request.url);
        try {{
            const value = await answer(request, env, ctx, url);
            return value instanceof Response ? value : Response.json(value ?? null);
        }} catch (error) {{
            return Response.json({{ name: error.name, message: error.message }}, {{ status: 500 }});
        }}
    }},
}};
void WorkerEntrypoint, RpcTarget, connect;"#
    );
    Script::module(name, &source)
}

/// A Worker whose default export takes calls: `who()` says `text`, and so does `fetch()`.
pub(crate) fn being(name: &str, text: &str) -> Script {
    let source = format!(
        r#"
import {{ WorkerEntrypoint }} from "cloudflare:workers";
export default class extends WorkerEntrypoint {{
    fetch() {{ return new Response({text:?}); }}
    who() {{ return {text:?}; }}
    async slowly(ms) {{ await scheduler.wait(ms); return {text:?}; }}
}}
export class Side extends WorkerEntrypoint {{
    who() {{ return "side of " + {text:?}; }}
}}"#
    );
    Script::module(name, &source)
}

/// Asks `<name>.localhost`.
pub(crate) async fn ask(server: &Server, name: &str, path: &str) -> Answer {
    server.get(&format!("{name}.localhost"), path).await
}
