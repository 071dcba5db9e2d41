//! workerd's own KV, which ours is held against: a Durable Object with SQLite behind the same binding.

/// The folders that it wants beside its config.
pub const BUNDLED_KV_FOLDERS: [&str; 2] = ["state", "blobs"];

/// The services of a text config that make it; bindings name the service `kv`.
pub const BUNDLED_KV_SERVICES: &str = r#"(name = "kv", worker = (
      modules = [(name = "kv.js", bundled = "/workerd/kv.js")], compatibilityDate = "2026-11-01",
      bindings = [(name = "SHARD", durableObjectNamespace = "KVNamespace"), (name = "BLOBS", service = "blobs")],
      durableObjectNamespaces = [(className = "KVNamespace", uniqueKey = "kv", enableSql = true)],
      durableObjectStorage = (localDisk = "state"))),
    (name = "state", disk = (path = "state", writable = true)),
    (name = "blobs", disk = (path = "blobs", writable = true))"#;
