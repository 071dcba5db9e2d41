//! workerd's own KV and D1, which ours are held against: Durable Objects with SQLite behind the same bindings.

/// The folders that they want beside their config.
pub const BUNDLED_FOLDERS: [&str; 2] = ["state", "blobs"];

/// The services of a text config that make workerd's KV; bindings name the service `kv`.
pub const BUNDLED_KV_SERVICES: &str = r#"(name = "kv", worker = (
      modules = [(name = "kv.js", bundled = "/workerd/kv.js")], compatibilityDate = "2026-11-01",
      bindings = [(name = "SHARD", durableObjectNamespace = "KVNamespace"), (name = "BLOBS", service = "blobs")],
      durableObjectNamespaces = [(className = "KVNamespace", uniqueKey = "kv", enableSql = true)],
      durableObjectStorage = (localDisk = "state"))),
    (name = "state", disk = (path = "state", writable = true)),
    (name = "blobs", disk = (path = "blobs", writable = true))"#;

/// Likewise its D1; bindings are what [`bundled_d1_binding`] says.
pub const BUNDLED_D1_SERVICES: &str = r#"(name = "d1", worker = (
      modules = [(name = "d1.js", bundled = "/workerd/d1.js")], compatibilityDate = "2026-11-01",
      bindings = [(name = "DATABASE", durableObjectNamespace = "D1Database")],
      durableObjectNamespaces = [(className = "D1Database", uniqueKey = "d1", enableSql = true)],
      durableObjectStorage = (localDisk = "state"))),
    (name = "state", disk = (path = "state", writable = true))"#;

/// The value of a binding to a database of workerd's D1. `database` is a plain name.
#[must_use]
pub fn bundled_d1_binding(database: &str) -> String {
    let props = format!(r#"{{\"database\":\"{database}\"}}"#);
    format!(
        r#"wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [
        (name = "fetcher", service = (name = "d1", props = (json = "{props}")))])"#
    )
}
