# Every field that workerd-wire writes, once: the same configuration as `every_field` in agreement.rs.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "modules", worker = (
      modules = [
        (name = "main.js", esModule = "export default {}"),
        (name = "old.cjs", commonJsModule = "module.exports = 1"),
        (name = "a.txt", text = "quote \" backslash \\ line\nend \xe2\x80\xa8 \xc3\xa9"),
        (name = "a.bin", data = 0x"00 01 fe ff"),
        (name = "a.wasm", wasm = 0x"00 61 73 6d 01 00 00 00"),
        (name = "a.json", json = "{\"a\":1}"),
        (name = "a.py", pythonModule = "pass"),
        (name = "numpy", obsoletePythonRequirement = ""),
      ],
      compatibilityDate = "2026-11-01",
      compatibilityFlags = ["nodejs_compat", "no_global_navigator"],
      bindings = [
        (name = "TEXT", text = "t"),
        (name = "DATA", data = 0x"00 ff"),
        (name = "JSON", json = "[1]"),
        (name = "WASM", wasmModule = 0x"00 61 73 6d 01 00 00 00"),
        (name = "SERVICE", service = (name = "classic", entrypoint = "Named", props = (json = "{}"))),
        (name = "KV", kvNamespace = (name = "out")),
        (name = "R2", r2Bucket = (name = "out")),
        (name = "QUEUE", queue = (name = "out")),
        (name = "OWN", durableObjectNamespace = (className = "Counter")),
        (name = "FOREIGN", durableObjectNamespace = (className = "Timer", serviceName = "classic")),
        (name = "D1", wrapped = (
          moduleName = "cloudflare-internal:d1-api",
          innerBindings = [(name = "fetcher", service = (name = "out"))]
        )),
        (name = "LIMIT", wrapped = (
          moduleName = "platform:ratelimit",
          entrypoint = "make",
          innerBindings = [(name = "max", json = "5"), (name = "period", text = "10")]
        )),
      ],
      globalOutbound = (name = "net"),
      cacheApiOutbound = (name = "out"),
      durableObjectNamespaces = [
        (className = "Counter", uniqueKey = "k1", enableSql = true),
        (className = "Timer", uniqueKey = "k2", preventEviction = true),
      ],
      durableObjectStorage = (localDisk = "disk"),
      tails = [(name = "classic"), (name = "modules", entrypoint = "Tail")],
    )),
    (name = "classic", worker = (
      serviceWorkerScript = "addEventListener('fetch', () => {})",
      compatibilityDate = "2026-11-01",
      durableObjectStorage = (inMemory = void),
    )),
    (name = "out", external = (
      address = "unix:/run/out",
      http = (
        style = proxy,
        forwardedProtoHeader = "x-skerry-proto",
        cfBlobHeader = "x-skerry-cf",
        injectRequestHeaders = [(name = "x-skerry-binding", value = "KV"), (name = "b", value = "2")],
        capnpConnectHost = "b.svc"
      )
    )),
    (name = "disk", disk = (path = "/var/objects", writable = true)),
    (name = "files", disk = (path = "/var/files")),
    (name = "net", network = (
      allow = ["public", "192.0.2.0/24"],
      deny = ["private"],
      tlsOptions = (trustBrowserCas = true, trustedCertificates = ["PEM"])
    )),
    (name = "nowhere", network = (allow = [])),
  ],
  sockets = [
    (
      name = "http",
      address = "unix:/run/http",
      http = (cfBlobHeader = "x-skerry-cf", forwardedProtoHeader = "x-skerry-proto"),
      service = (name = "modules")
    ),
    (name = "rpc:Named", http = (capnpConnectHost = "Named"), service = (name = "modules", entrypoint = "Named")),
  ],
  v8Flags = ["--max-heap-size=128"],
  extensions = [
    (modules = [
      (name = "platform:ratelimit", internal = true, esModule = "export default () => {}"),
      (name = "platform:open", esModule = "export {}"),
    ]),
  ],
  logging = (structuredLogging = true),
);
