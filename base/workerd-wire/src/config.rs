//! The parts of workerd's configuration that we use, as plain structs. What we never set is left out.

/// A whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config<'a> {
    /// Everything that can be named.
    pub services: Vec<Service<'a>>,
    /// Where it listens.
    pub sockets: Vec<Socket<'a>>,
    /// Flags for V8, such as `--max-heap-size=128`.
    pub v8_flags: Vec<&'a str>,
    /// Modules of ours that Workers may import or that `wrapped` bindings are made by.
    pub extensions: Vec<Extension<'a>>,
    /// `logging.structuredLogging`: console output as JSON lines on stdout.
    pub structured_logging: bool,
}

/// A named service.
#[derive(Debug, Clone)]
pub struct Service<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub kind: ServiceKind<'a>,
}

/// What a service is.
#[derive(Debug, Clone)]
pub enum ServiceKind<'a> {
    /// JavaScript.
    Worker(Box<Worker<'a>>),
    /// Something behind an address.
    External(External<'a>),
    /// A folder.
    Disk(Disk<'a>),
    /// The network, as far as it is allowed.
    Network(Network<'a>),
}

/// A service reached over HTTP.
#[derive(Debug, Clone)]
pub struct External<'a> {
    /// For example `unix:/path`.
    pub address: &'a str,
    /// How HTTP is spoken.
    pub http: HttpOptions<'a>,
}

/// A folder, served over HTTP or used as Durable Object storage.
#[derive(Debug, Clone)]
pub struct Disk<'a> {
    /// Where it is, as an absolute path.
    pub path: &'a str,
    /// Whether it may be written.
    pub writable: bool,
}

/// Connections to addresses that are allowed and not denied.
#[derive(Debug, Clone, Default)]
pub struct Network<'a> {
    /// CIDR ranges, or words such as `public` and `private`; empty allows nothing.
    pub allow: Vec<&'a str>,
    /// Ranges or words taken out again.
    pub deny: Vec<&'a str>,
    /// Whom TLS connections trust; without it there is no TLS.
    pub tls: Option<TlsOptions<'a>>,
}

/// Whom a TLS client trusts.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions<'a> {
    /// The certificate authorities that browsers trust.
    pub trust_browser_authorities: bool,
    /// Further certificates, each as PEM text.
    pub trusted_certificates: Vec<&'a str>,
}

/// A listening socket.
#[derive(Debug, Clone)]
pub struct Socket<'a> {
    /// Its name, as `--socket-fd` and the control pipe use it.
    pub name: &'a str,
    /// Its address; may be empty when `--socket-fd` supplies it.
    pub address: &'a str,
    /// How HTTP is spoken.
    pub http: HttpOptions<'a>,
    /// Who answers.
    pub service: Designator<'a>,
}

/// Names a service, optionally one entrypoint of it.
#[derive(Debug, Clone)]
pub struct Designator<'a> {
    /// The service.
    pub name: &'a str,
    /// A named export; `None` is the default export.
    pub entrypoint: Option<&'a str>,
    /// `ctx.props`, as JSON text.
    pub props: Option<&'a str>,
}

/// How HTTP is spoken on a socket or to an external service.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions<'a> {
    /// Origin-form or absolute-form request lines.
    pub style: HttpStyle,
    /// The header that carries the original scheme.
    pub forwarded_proto_header: Option<&'a str>,
    /// The header that carries `request.cf` as JSON.
    pub cf_blob_header: Option<&'a str>,
    /// Headers added to each request.
    pub inject_request_headers: Vec<(&'a str, &'a str)>,
    /// The CONNECT authority of RPC sessions.
    pub capnp_connect_host: Option<&'a str>,
}

/// Origin-form or absolute-form request lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpStyle {
    /// `GET /path` with `Host`.
    #[default]
    Host,
    /// `GET http://host/path`.
    Proxy,
}

/// A Worker's code and surroundings.
#[derive(Debug, Clone, Default)]
pub struct Worker<'a> {
    /// The code.
    pub code: WorkerCode<'a>,
    /// `YYYY-MM-DD`.
    pub compatibility_date: &'a str,
    /// Flags.
    pub compatibility_flags: Vec<&'a str>,
    /// `env`.
    pub bindings: Vec<Binding<'a>>,
    /// Who carries `fetch()` and `connect()`; workerd's own `internet` service if `None`.
    pub global_outbound: Option<Designator<'a>>,
    /// Who answers the Cache API.
    pub cache_api_outbound: Option<Designator<'a>>,
    /// The Durable Object classes it implements.
    pub durable_object_namespaces: Vec<DurableObjectNamespace<'a>>,
    /// Where their objects are stored.
    pub durable_object_storage: DurableObjectStorage<'a>,
    /// Who is told about each event after it ended.
    pub tails: Vec<Designator<'a>>,
}

/// A Durable Object class that a Worker implements.
#[derive(Debug, Clone)]
pub struct DurableObjectNamespace<'a> {
    /// The exported class.
    pub class_name: &'a str,
    /// What its object ids are derived from and its storage folder is called: it must outlive renames of the class.
    pub unique_key: &'a str,
    /// Keeps idle objects in memory.
    pub prevent_eviction: bool,
    /// Gives its objects the SQL API.
    pub enable_sql: bool,
}

/// Where a Worker's Durable Objects are stored.
#[derive(Debug, Clone, Copy, Default)]
pub enum DurableObjectStorage<'a> {
    /// Nowhere: for Workers without classes of their own.
    #[default]
    None,
    /// Until the process ends.
    InMemory,
    /// In the disk service of that name.
    LocalDisk(&'a str),
}

/// ES modules or one classic script.
#[derive(Debug, Clone)]
pub enum WorkerCode<'a> {
    /// The first module is the main one.
    Modules(Vec<Module<'a>>),
    /// The text of a service worker.
    ServiceWorker(&'a str),
}

impl Default for WorkerCode<'_> {
    fn default() -> Self {
        Self::Modules(Vec::new())
    }
}

/// One module.
#[derive(Debug, Clone)]
pub struct Module<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its content.
    pub content: ModuleContent<'a>,
}

/// A module's content by kind.
#[derive(Debug, Clone, Copy)]
pub enum ModuleContent<'a> {
    /// ES module source.
    EsModule(&'a str),
    /// CommonJS source.
    CommonJs(&'a str),
    /// Text, as a string.
    Text(&'a str),
    /// Bytes, as an `ArrayBuffer`.
    Data(&'a [u8]),
    /// WebAssembly.
    Wasm(&'a [u8]),
    /// JSON text.
    Json(&'a str),
    /// Python source.
    Python(&'a str),
    /// The name of a Python package. The pinned workerd ends at once when it meets one: uploads must refuse it.
    PythonRequirement(&'a str),
}

/// One binding.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: BindingValue<'a>,
}

/// What a binding holds.
#[derive(Debug, Clone)]
pub enum BindingValue<'a> {
    /// A string.
    Text(&'a str),
    /// Bytes.
    Data(&'a [u8]),
    /// A value from JSON text.
    Json(&'a str),
    /// A WebAssembly module.
    WasmModule(&'a [u8]),
    /// Another service.
    Service(Designator<'a>),
    /// A KV namespace behind a service.
    KvNamespace(Designator<'a>),
    /// An R2 bucket behind a service.
    R2Bucket(Designator<'a>),
    /// The sending side of a queue behind a service.
    Queue(Designator<'a>),
    /// A Durable Object class.
    DurableObjectNamespace(DurableObjectDesignator<'a>),
    /// What a module of an extension makes of other bindings.
    Wrapped(Wrapped<'a>),
}

/// Names a Durable Object class.
#[derive(Debug, Clone)]
pub struct DurableObjectDesignator<'a> {
    /// The class, among that Worker's `durable_object_namespaces`.
    pub class_name: &'a str,
    /// The service of the Worker that implements it; `None` is the Worker that has the binding.
    pub service_name: Option<&'a str>,
}

/// A binding made by a function of an extension's module.
#[derive(Debug, Clone)]
pub struct Wrapped<'a> {
    /// The extension's module.
    pub module_name: &'a str,
    /// The export that is called; `None` is the default export.
    pub entrypoint: Option<&'a str>,
    /// Its argument: an object with these bindings.
    pub inner_bindings: Vec<Binding<'a>>,
}

/// Modules that come with the configuration, not with a Worker.
#[derive(Debug, Clone, Default)]
pub struct Extension<'a> {
    /// The modules.
    pub modules: Vec<ExtensionModule<'a>>,
}

/// One module of an extension.
#[derive(Debug, Clone)]
pub struct ExtensionModule<'a> {
    /// Its name, such as `platform:ratelimit`.
    pub name: &'a str,
    /// Hidden from the code of Workers: only `wrapped` bindings and other internal modules reach it.
    pub internal: bool,
    /// ES module source.
    pub es_module: &'a str,
}
