//! Turns a version of a Worker into the configuration of the process that runs it. What a binding looks like to workerd
//! is decided here and nowhere else.

use model::{
    Binding, BindingKind, CallsKey, Entry, Entrypoint, Module, ModuleKind, ObjectNamespaceId, ObjectTarget,
    WorkerVersion,
};
use workerd_wire::{
    BindingValue, Config, Designator, Disk, DurableObjectDesignator, DurableObjectNamespace,
    DurableObjectStorage, Extension, ExtensionModule, External, HttpOptions, HttpStyle, ModuleContent,
    Service, ServiceKind, Socket, Worker, WorkerCode, headers,
};

use crate::gate::{self, Gate};

/// The socket on which the Worker's default export answers: its fetch handler, and calls from other Workers.
pub(crate) const HTTP_SOCKET: &str = "http";
/// What other Workers' calls (`CONNECT`) name on every socket; which socket it is decides who is called.
pub(crate) const RPC_HOST: &str = "skerry.rpc";
/// The file, in the process's own folder, of the socket that takes its bindings' requests.
pub(crate) const BINDINGS_SOCKET: &str = "bindings";
/// The file, in the process's own folder, of the socket that takes what it sends out.
pub(crate) const EGRESS_SOCKET: &str = "egress";

/// The process's working folder is the one with its sockets, so that the paths stay short whatever the data folder's is
/// (Unix socket addresses end at 107 bytes).
const BINDINGS_ADDRESS: &str = "unix:bindings";
const EGRESS_ADDRESS: &str = "unix:egress";

/// Names no script can have (a colon), so that ours and the user's never meet.
const EGRESS_SERVICE: &str = "skerry:egress";
const OBJECTS_SERVICE: &str = "skerry:objects";

/// Where a process keeps the Durable Objects of its Worker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Storage<'a> {
    /// Its Worker has none, or another process runs them.
    None,
    /// Nowhere: it is only tried.
    Memory,
    /// In this folder.
    Folder(&'a str),
}

/// The ways into a process besides its default export; each is a socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// Entrypoints that other Workers want.
    pub(crate) entrypoints: Vec<Entrypoint>,
    /// Namespaces whose objects it runs, for those that reach them from other processes.
    pub(crate) namespaces: Vec<ObjectNamespaceId>,
}

impl Ways {
    /// The names of the process's sockets: that of the default export, then one for each further way in.
    pub(crate) fn socket_names(&self) -> Vec<String> {
        let entrypoints = (0..self.entrypoints.len()).map(|index| format!("way-{index}"));
        let namespaces = (0..self.namespaces.len()).map(|index| format!("gate-{index}"));
        std::iter::once(HTTP_SOCKET.to_owned()).chain(entrypoints).chain(namespaces).collect()
    }

    /// Which of the sockets is an entrypoint's.
    pub(crate) fn of_entrypoint(&self, entrypoint: &Entrypoint) -> Option<usize> {
        if entrypoint.is_default() {
            return Some(0);
        }
        Some(1 + self.entrypoints.iter().position(|known| known == entrypoint)?)
    }

    /// Which of the sockets is a namespace's.
    pub(crate) fn of_namespace(&self, namespace: &ObjectNamespaceId) -> Option<usize> {
        let index = self.namespaces.iter().position(|known| known == namespace)?;
        Some(1 + self.entrypoints.len() + index)
    }
}

/// Our module that makes a D1 database of a service; no Worker can import it.
const D1_MODULE: ExtensionModule<'_> =
    ExtensionModule { name: "skerry-internal:d1", internal: true, es_module: include_str!("d1.js") };

/// Why a version cannot be expressed; the text is for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("No such module \"{0}\".")]
    ModuleMissing(String),
    #[error("Module \"{0}\" is not valid UTF-8.")]
    ModuleNotText(String),
    #[error("No Durable Objects are kept for class \"{0}\".")]
    ObjectClassMissing(String),
}

/// The whole configuration, encoded for workerd's standard input.
///
/// `ways` are the further ways in.
/// `key` is that of the process's calls. `storage` is where its Durable Objects are.
pub(crate) fn encode(
    version: &WorkerVersion,
    key: &CallsKey,
    ways: &Ways,
    storage: Storage<'_>,
) -> Result<Vec<u8>, ConfigError> {
    let script = version.script.as_str();
    let texts = BindingTexts::new(version, key);
    let behind_bindings = texts.0.iter().map(|text| text.service.as_deref());
    let gate = Gate::new(version, behind_bindings, &ways.namespaces);
    let worker = Worker {
        code: code(version)?,
        compatibility_date: &version.compatibility.date,
        compatibility_flags: version.compatibility.flags.iter().map(String::as_str).collect(),
        bindings: bindings(version, &texts, &gate)?,
        global_outbound: Some(service(EGRESS_SERVICE)),
        durable_object_namespaces: match storage {
            Storage::None => Vec::new(),
            Storage::Memory | Storage::Folder(_) => object_namespaces(version),
        },
        durable_object_storage: match storage {
            Storage::None => DurableObjectStorage::None,
            Storage::Memory => DurableObjectStorage::InMemory,
            Storage::Folder(_) => DurableObjectStorage::LocalDisk(OBJECTS_SERVICE),
        },
        ..Worker::default()
    };
    let mut services = vec![
        Service { name: script, kind: ServiceKind::Worker(Box::new(worker)) },
        Service { name: EGRESS_SERVICE, kind: ServiceKind::External(egress()) },
    ];
    if let Storage::Folder(path) = storage {
        services
            .push(Service { name: OBJECTS_SERVICE, kind: ServiceKind::Disk(Disk { path, writable: true }) });
    }
    if !gate.is_empty() {
        let worker = Box::new(gate.worker(script, service(EGRESS_SERVICE)));
        services.push(Service { name: gate::SERVICE, kind: ServiceKind::Worker(worker) });
    }
    for (binding, text) in version.bindings.iter().zip(&texts.0) {
        if let Some(name) = &text.service {
            services
                .push(Service { name, kind: ServiceKind::External(binding_external(&binding.name, text)) });
        }
    }
    let http = HttpOptions { capnp_connect_host: Some(RPC_HOST), ..with_origin() };
    let names = ways.socket_names();
    let entrypoints = ways.entrypoints.iter().map(|way| Designator {
        name: script,
        entrypoint: way.name.as_deref(),
        props: way.props.as_deref(),
    });
    let designators = std::iter::once(service(script)).chain(entrypoints).chain(gate.ways_in());
    let sockets = names.iter().zip(designators);
    let sockets =
        sockets.map(|(name, service)| Socket { name, address: "", http: http.clone(), service }).collect();
    let extensions = extensions(version);
    Ok(workerd_wire::encode(&Config {
        services,
        sockets,
        extensions,
        structured_logging: true,
        ..Config::default()
    }))
}

/// What the version's bindings are made by and workerd does not have.
fn extensions(version: &WorkerVersion) -> Vec<Extension<'static>> {
    let has_d1 = version.bindings.iter().any(|binding| matches!(binding.kind, BindingKind::D1(_)));
    if has_d1 { vec![Extension { modules: vec![D1_MODULE] }] } else { Vec::new() }
}

/// HTTP with the headers that tell the original scheme and `request.cf`.
fn with_origin() -> HttpOptions<'static> {
    HttpOptions {
        forwarded_proto_header: Some(headers::FORWARDED_PROTO_HEADER),
        cf_blob_header: Some(headers::CF_BLOB_HEADER),
        ..HttpOptions::default()
    }
}

/// A configuration with an empty Worker that only asks whether the runtime knows these flags.
pub(crate) fn encode_probe(compatibility: &model::Compatibility, script: &str) -> Vec<u8> {
    let worker = Worker {
        code: WorkerCode::Modules(vec![workerd_wire::Module {
            name: "probe.js",
            content: ModuleContent::EsModule("export default {};"),
        }]),
        compatibility_date: &compatibility.date,
        compatibility_flags: compatibility.flags.iter().map(String::as_str).collect(),
        ..Worker::default()
    };
    let services = vec![Service { name: script, kind: ServiceKind::Worker(Box::new(worker)) }];
    let sockets = vec![Socket {
        name: HTTP_SOCKET,
        address: "",
        http: HttpOptions::default(),
        service: service(script),
    }];
    workerd_wire::encode(&Config { services, sockets, structured_logging: true, ..Config::default() })
}

fn service(name: &str) -> Designator<'_> {
    Designator { name, entrypoint: None, props: None }
}

fn egress() -> External<'static> {
    let http = HttpOptions {
        style: HttpStyle::Proxy,
        cf_blob_header: Some(headers::CF_BLOB_HEADER),
        ..HttpOptions::default()
    };
    External { address: EGRESS_ADDRESS, http }
}

/// `binding` stands in a header of each request; a CONNECT carries no header, so its authority names the binding too.
fn binding_external<'a>(binding: &'a str, text: &'a BindingText) -> External<'a> {
    let inject_request_headers = vec![(headers::BINDING_HEADER, binding)];
    let http = match &text.connect_host {
        Some(host) => HttpOptions { inject_request_headers, capnp_connect_host: Some(host), ..with_origin() },
        None => HttpOptions { inject_request_headers, ..HttpOptions::default() },
    };
    External { address: BINDINGS_ADDRESS, http }
}

fn code(version: &WorkerVersion) -> Result<WorkerCode<'_>, ConfigError> {
    let entry_name = version.entry.name();
    let entry = module(version, entry_name)?;
    if let Entry::ServiceWorker(_) = version.entry {
        return Ok(WorkerCode::ServiceWorker(text(entry)?));
    }
    // The first module is the main one.
    let others =
        version.modules.iter().filter(|module| module.name != entry_name && !is_aside(version, module));
    let modules = std::iter::once(entry)
        .chain(others)
        .map(|module| Ok(workerd_wire::Module { name: &module.name, content: content(module)? }));
    Ok(WorkerCode::Modules(modules.collect::<Result<_, ConfigError>>()?))
}

/// Files that are no modules: source maps, and parts that a binding takes as its value.
fn is_aside(version: &WorkerVersion, module: &Module) -> bool {
    module.kind == ModuleKind::SourceMap
        || version.bindings.iter().any(|binding| match &binding.kind {
            BindingKind::WasmModule(part) | BindingKind::TextBlob(part) | BindingKind::DataBlob(part) => {
                *part == module.name
            }
            BindingKind::PlainText(_)
            | BindingKind::Json(_)
            | BindingKind::SecretText(_)
            | BindingKind::KvNamespace(_)
            | BindingKind::R2Bucket(_)
            | BindingKind::D1(_)
            | BindingKind::Service(_)
            | BindingKind::ObjectClass(_)
            | BindingKind::VersionMetadata => false,
        })
}

fn module<'a>(version: &'a WorkerVersion, name: &str) -> Result<&'a Module, ConfigError> {
    let found = version.modules.iter().find(|module| module.name == name);
    found.ok_or_else(|| ConfigError::ModuleMissing(name.to_owned()))
}

fn text(module: &Module) -> Result<&str, ConfigError> {
    std::str::from_utf8(&module.content).map_err(|_not_text| ConfigError::ModuleNotText(module.name.clone()))
}

fn content(module: &Module) -> Result<ModuleContent<'_>, ConfigError> {
    Ok(match module.kind {
        ModuleKind::EsModule => ModuleContent::EsModule(text(module)?),
        ModuleKind::CommonJs => ModuleContent::CommonJs(text(module)?),
        ModuleKind::Text => ModuleContent::Text(text(module)?),
        ModuleKind::Json => ModuleContent::Json(text(module)?),
        ModuleKind::Python => ModuleContent::Python(text(module)?),
        ModuleKind::PythonRequirement => ModuleContent::PythonRequirement(text(module)?),
        ModuleKind::Data | ModuleKind::SourceMap => ModuleContent::Data(&module.content),
        ModuleKind::Wasm => ModuleContent::Wasm(&module.content),
    })
}

/// Texts that do not stand in the version itself and must outlive the encoding: one entry for each binding.
struct BindingTexts(Vec<BindingText>);

#[derive(Default)]
struct BindingText {
    /// The name of the external service behind the binding.
    service: Option<String>,
    /// The authority of its calls, for a binding that takes calls.
    connect_host: Option<String>,
    /// A JSON value, written out.
    json: String,
}

impl BindingTexts {
    fn new(version: &WorkerVersion, key: &CallsKey) -> Self {
        let texts = version.bindings.iter().map(|binding| match &binding.kind {
            BindingKind::Json(value) => BindingText { json: value.to_string(), ..BindingText::default() },
            BindingKind::VersionMetadata => {
                let value = serde_json::json!({
                    "id": version.id.to_string(),
                    "tag": version.metadata.tag,
                    "timestamp": version.metadata.timestamp,
                });
                BindingText { json: value.to_string(), ..BindingText::default() }
            }
            BindingKind::KvNamespace(_) | BindingKind::R2Bucket(_) | BindingKind::D1(_) => {
                BindingText { service: Some(service_name(&binding.name)), ..BindingText::default() }
            }
            BindingKind::Service(_) | BindingKind::ObjectClass(ObjectTarget { namespace: Some(_), .. }) => {
                BindingText {
                    service: Some(service_name(&binding.name)),
                    connect_host: Some(headers::binding_authority(&binding.name, key.reveal())),
                    ..BindingText::default()
                }
            }
            BindingKind::PlainText(_)
            | BindingKind::SecretText(_)
            | BindingKind::ObjectClass(ObjectTarget { namespace: None, .. })
            | BindingKind::WasmModule(_)
            | BindingKind::TextBlob(_)
            | BindingKind::DataBlob(_) => BindingText::default(),
        });
        Self(texts.collect())
    }
}

fn object_namespaces(version: &WorkerVersion) -> Vec<DurableObjectNamespace<'_>> {
    let classes = version.objects.iter().flat_map(|objects| &objects.classes);
    classes
        .map(|class| DurableObjectNamespace {
            class_name: &class.name,
            unique_key: class.namespace.as_str(),
            prevent_eviction: false,
            enable_sql: class.has_sql,
        })
        .collect()
}

fn service_name(binding: &str) -> String {
    format!("skerry:binding:{binding}")
}

fn bindings<'a>(
    version: &'a WorkerVersion,
    texts: &'a BindingTexts,
    gate: &'a Gate<'_>,
) -> Result<Vec<workerd_wire::Binding<'a>>, ConfigError> {
    let pairs = version.bindings.iter().zip(&texts.0);
    pairs
        .map(|(binding, text)| {
            Ok(workerd_wire::Binding { name: &binding.name, value: value(version, binding, text, gate)? })
        })
        .collect()
}

/// workerd ends at a binding to a class that has no namespace.
fn object_class<'a>(
    version: &WorkerVersion,
    target: &'a ObjectTarget,
    gate: &'a Gate<'_>,
) -> Result<DurableObjectDesignator<'a>, ConfigError> {
    let class = &target.class;
    let designator = match &target.namespace {
        Some(namespace) => gate.class(namespace),
        None => {
            let mut classes = version.objects.iter().flat_map(|objects| &objects.classes);
            let is_known = classes.any(|known| known.name == *class);
            is_known.then_some(DurableObjectDesignator { class_name: class, service_name: None })
        }
    };
    designator.ok_or_else(|| ConfigError::ObjectClassMissing(class.clone()))
}

fn value<'a>(
    version: &'a WorkerVersion,
    binding: &'a Binding,
    texts: &'a BindingText,
    gate: &'a Gate<'_>,
) -> Result<BindingValue<'a>, ConfigError> {
    Ok(match &binding.kind {
        BindingKind::PlainText(value) => BindingValue::Text(value),
        BindingKind::SecretText(secret) => BindingValue::Text(secret.reveal()),
        BindingKind::Json(_) | BindingKind::VersionMetadata => BindingValue::Json(&texts.json),
        BindingKind::KvNamespace(_) => {
            BindingValue::KvNamespace(service(texts.service.as_deref().unwrap_or_default()))
        }
        BindingKind::R2Bucket(_) => {
            BindingValue::R2Bucket(service(texts.service.as_deref().unwrap_or_default()))
        }
        BindingKind::D1(_) => {
            let fetcher = BindingValue::Service(service(texts.service.as_deref().unwrap_or_default()));
            BindingValue::Wrapped(workerd_wire::Wrapped {
                module_name: D1_MODULE.name,
                entrypoint: None,
                inner_bindings: vec![workerd_wire::Binding { name: "fetcher", value: fetcher }],
            })
        }
        BindingKind::Service(_) => {
            BindingValue::Service(service(texts.service.as_deref().unwrap_or_default()))
        }
        BindingKind::ObjectClass(target) => {
            BindingValue::DurableObjectNamespace(object_class(version, target, gate)?)
        }
        BindingKind::WasmModule(part) => BindingValue::WasmModule(&module(version, part)?.content),
        BindingKind::TextBlob(part) => BindingValue::Text(text(module(version, part)?)?),
        BindingKind::DataBlob(part) => BindingValue::Data(&module(version, part)?.content),
    })
}
