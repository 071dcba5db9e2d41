//! Our messages are those that workerd makes of the equivalent text configuration.

use capnp::{
    Word,
    message::ReaderOptions,
    serialize::{self, OwnedSegments},
};
use workerd_wire::{
    Binding, BindingValue, Config, Designator, Disk, DurableObjectDesignator, DurableObjectNamespace,
    DurableObjectStorage, Extension, ExtensionModule, External, HttpOptions, HttpStyle, Module,
    ModuleContent, Network, Service, ServiceKind, Socket, TlsOptions, Worker, WorkerCode, Wrapped, encode,
    headers::{BINDING_HEADER, CF_BLOB_HEADER, FORWARDED_PROTO_HEADER},
};

use crate::{config_capnp, workerd};

type Message = capnp::message::Reader<OwnedSegments>;

const EMPTY_WASM: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn workerd_makes_the_same_message_of_the_same_configuration() {
    let theirs = read(&compile("every_field.capnp"));
    let ours = read(&encode(&every_field()));
    for (line, (ours, theirs)) in (1..).zip(print(&ours).lines().zip(print(&theirs).lines())) {
        assert_eq!(ours, theirs, "line {line} of the message as text");
    }
    assert!(canonical(&ours) == canonical(&theirs), "they differ in a field that our schema does not know");
}

#[test]
fn the_pinned_version_is_the_one_tested() {
    let output = workerd::command().arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), workerd_wire::WORKERD_VERSION_LINE);
}

fn compile(file: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file);
    let output =
        workerd::command().args(["compile", "--config-only"]).arg(path).output().expect("workerd starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(mut message: &[u8]) -> Message {
    serialize::read_message(&mut message, ReaderOptions::new()).expect("it is a message")
}

fn canonical(message: &Message) -> Vec<Word> {
    message.canonicalize().expect("its pointers are right")
}

fn print(message: &Message) -> String {
    format!("{:#?}", message.get_root::<config_capnp::config::Reader<'_>>().expect("its root is a struct"))
}

fn every_field() -> Config<'static> {
    Config {
        services: vec![
            service("modules", ServiceKind::Worker(Box::new(module_worker()))),
            service("classic", ServiceKind::Worker(Box::new(classic_worker()))),
            service("out", ServiceKind::External(external())),
            service("disk", ServiceKind::Disk(Disk { path: "/var/objects", writable: true })),
            service("files", ServiceKind::Disk(Disk { path: "/var/files", writable: false })),
            service("net", ServiceKind::Network(network())),
            service("nowhere", ServiceKind::Network(Network::default())),
        ],
        sockets: sockets(),
        v8_flags: vec!["--max-heap-size=128"],
        extensions: vec![extension()],
        structured_logging: true,
    }
}

fn service<'a>(name: &'a str, kind: ServiceKind<'a>) -> Service<'a> {
    Service { name, kind }
}

fn to(name: &str) -> Designator<'_> {
    Designator { name, entrypoint: None, props: None }
}

fn module_worker() -> Worker<'static> {
    Worker {
        code: WorkerCode::Modules(modules()),
        compatibility_date: "2026-11-01",
        compatibility_flags: vec!["nodejs_compat", "no_global_navigator"],
        bindings: bindings(),
        global_outbound: Some(to("net")),
        cache_api_outbound: Some(to("out")),
        durable_object_namespaces: vec![
            DurableObjectNamespace {
                class_name: "Counter",
                unique_key: "k1",
                prevent_eviction: false,
                enable_sql: true,
            },
            DurableObjectNamespace {
                class_name: "Timer",
                unique_key: "k2",
                prevent_eviction: true,
                enable_sql: false,
            },
        ],
        durable_object_storage: DurableObjectStorage::LocalDisk("disk"),
        tails: vec![to("classic"), Designator { entrypoint: Some("Tail"), ..to("modules") }],
    }
}

fn classic_worker() -> Worker<'static> {
    Worker {
        code: WorkerCode::ServiceWorker("addEventListener('fetch', () => {})"),
        compatibility_date: "2026-11-01",
        durable_object_storage: DurableObjectStorage::InMemory,
        ..Worker::default()
    }
}

fn modules() -> Vec<Module<'static>> {
    [
        ("main.js", ModuleContent::EsModule("export default {}")),
        ("old.cjs", ModuleContent::CommonJs("module.exports = 1")),
        ("a.txt", ModuleContent::Text("quote \" backslash \\ line\nend \u{2028} é")),
        ("a.bin", ModuleContent::Data(b"\x00\x01\xfe\xff")),
        ("a.wasm", ModuleContent::Wasm(EMPTY_WASM)),
        ("a.json", ModuleContent::Json("{\"a\":1}")),
        ("a.py", ModuleContent::Python("pass")),
        ("numpy", ModuleContent::PythonRequirement("")),
    ]
    .map(|(name, content)| Module { name, content })
    .into()
}

fn bindings() -> Vec<Binding<'static>> {
    let named = Designator { name: "classic", entrypoint: Some("Named"), props: Some("{}") };
    [
        ("TEXT", BindingValue::Text("t")),
        ("DATA", BindingValue::Data(b"\x00\xff")),
        ("JSON", BindingValue::Json("[1]")),
        ("WASM", BindingValue::WasmModule(EMPTY_WASM)),
        ("SERVICE", BindingValue::Service(named)),
        ("KV", BindingValue::KvNamespace(to("out"))),
        ("R2", BindingValue::R2Bucket(to("out"))),
        ("QUEUE", BindingValue::Queue(to("out"))),
        ("OWN", objects("Counter", None)),
        ("FOREIGN", objects("Timer", Some("classic"))),
        ("D1", wrapped("cloudflare-internal:d1-api", None, [("fetcher", BindingValue::Service(to("out")))])),
        (
            "LIMIT",
            wrapped(
                "platform:ratelimit",
                Some("make"),
                [("max", BindingValue::Json("5")), ("period", BindingValue::Text("10"))],
            ),
        ),
    ]
    .map(|(name, value)| Binding { name, value })
    .into()
}

fn objects(class_name: &'static str, service_name: Option<&'static str>) -> BindingValue<'static> {
    BindingValue::DurableObjectNamespace(DurableObjectDesignator { class_name, service_name })
}

fn wrapped<const COUNT: usize>(
    module_name: &'static str,
    entrypoint: Option<&'static str>,
    inner: [(&'static str, BindingValue<'static>); COUNT],
) -> BindingValue<'static> {
    let inner_bindings = inner.map(|(name, value)| Binding { name, value }).into();
    BindingValue::Wrapped(Wrapped { module_name, entrypoint, inner_bindings })
}

fn external() -> External<'static> {
    External {
        address: "unix:/run/out",
        http: HttpOptions {
            style: HttpStyle::Proxy,
            forwarded_proto_header: Some(FORWARDED_PROTO_HEADER),
            cf_blob_header: Some(CF_BLOB_HEADER),
            inject_request_headers: vec![(BINDING_HEADER, "KV"), ("b", "2")],
            capnp_connect_host: Some("b.svc"),
        },
    }
}

fn network() -> Network<'static> {
    Network {
        allow: vec!["public", "192.0.2.0/24"],
        deny: vec!["private"],
        tls: Some(TlsOptions { trust_browser_authorities: true, trusted_certificates: vec!["PEM"] }),
    }
}

fn sockets() -> Vec<Socket<'static>> {
    let public = HttpOptions {
        cf_blob_header: Some(CF_BLOB_HEADER),
        forwarded_proto_header: Some(FORWARDED_PROTO_HEADER),
        ..HttpOptions::default()
    };
    let rpc = HttpOptions { capnp_connect_host: Some("Named"), ..HttpOptions::default() };
    let named = Designator { entrypoint: Some("Named"), ..to("modules") };
    vec![
        Socket { name: "http", address: "unix:/run/http", http: public, service: to("modules") },
        Socket { name: "rpc:Named", address: "", http: rpc, service: named },
    ]
}

fn extension() -> Extension<'static> {
    Extension {
        modules: vec![
            ExtensionModule {
                name: "platform:ratelimit",
                internal: true,
                es_module: "export default () => {}",
            },
            ExtensionModule { name: "platform:open", internal: false, es_module: "export {}" },
        ],
    }
}
