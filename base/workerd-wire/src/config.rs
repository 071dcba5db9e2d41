//! The parts of workerd's configuration that we use, as plain structs.

/// A whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config<'a> {
    /// Everything that can be named.
    pub services: Vec<Service<'a>>,
    /// Where it listens.
    pub sockets: Vec<Socket<'a>>,
    /// Flags for V8, such as `--max-heap-size=128`.
    pub v8_flags: Vec<&'a str>,
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
}

/// A service reached over HTTP.
#[derive(Debug, Clone)]
pub struct External<'a> {
    /// For example `unix:/path`.
    pub address: &'a str,
    /// How HTTP is spoken.
    pub http: HttpOptions<'a>,
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
#[derive(Debug, Clone)]
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
}

/// ES modules or one classic script.
#[derive(Debug, Clone)]
pub enum WorkerCode<'a> {
    /// The first module is the main one.
    Modules(Vec<Module<'a>>),
    /// The text of a service worker.
    ServiceWorker(&'a str),
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
    /// The name of a Python package.
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
}
