//! What a version of a Worker is made of: everything needed to run it, and nothing about how it is run.

use std::{collections::HashMap, fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BucketName, DatabaseId, NamespaceId, ObjectNamespaceId, ScriptTag, VersionId};

/// Longest script name: it is a label of the Worker's host name (RFC 1035).
pub const SCRIPT_NAME_BYTES_MAX: usize = 63;

/// The text was not a name that Cloudflare accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid script name: use 1 to 63 lower-case letters, digits, dashes and underscores, beginning and ending with a letter or digit"
)]
pub struct NameError(pub String);

/// The name of a Worker; also the first label of its host.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScriptName(String);

impl ScriptName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScriptName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let is_valid = bytes.len() <= SCRIPT_NAME_BYTES_MAX
            && bytes.iter().copied().all(is_inner)
            && bytes.first().is_some_and(is_edge)
            && bytes.last().is_some_and(is_edge);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl TryFrom<String> for ScriptName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ScriptName> for String {
    fn from(name: ScriptName) -> Self {
        name.0
    }
}

impl fmt::Display for ScriptName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ScriptName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Text that must not be printed: `Debug` hides it, and nothing here serialises it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps secret text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret text; call it only where the text itself is needed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// One immutable version of a Worker, whole.
#[derive(Debug, Clone)]
pub struct WorkerVersion {
    /// The Worker it is a version of.
    pub script: ScriptName,
    /// Its identifier.
    pub id: VersionId,
    /// What the `version_metadata` binding says of it.
    pub metadata: VersionMetadata,
    /// Which behaviour of the runtime it asked for.
    pub compatibility: Compatibility,
    /// What its code finds in `env`.
    pub bindings: Vec<Binding>,
    /// Where its code begins.
    pub entry: Entry,
    /// All its files, the entry among them. Modules that a binding names (`WasmModule { part }` …) are here too.
    pub modules: Vec<Module>,
    /// The Durable Objects of its Worker, if that has any.
    pub objects: Option<Objects>,
}

impl WorkerVersion {
    /// What doors need to know of this version while it runs: all but the code.
    #[must_use]
    pub fn caller(&self) -> Caller {
        let bindings =
            self.bindings.iter().map(|binding| (binding.name.clone(), binding.kind.clone())).collect();
        Caller { script: self.script.clone(), version: self.id, bindings, calls_key: CallsKey::random() }
    }
}

/// A running version as the doors behind its sockets see it: who calls, and what it may reach.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The Worker.
    pub script: ScriptName,
    /// Its version.
    pub version: VersionId,
    /// Its bindings by name.
    pub bindings: HashMap<String, BindingKind>,
    /// By which its runtime's own calls on a binding are told from what its code sends there.
    pub calls_key: CallsKey,
}

/// A random text that one process's runtime knows and its user code does not.
#[derive(Clone, PartialEq, Eq)]
pub struct CallsKey(Secret);

impl CallsKey {
    /// Draws a new key.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::new(Uuid::new_v4().simple().to_string()))
    }

    /// The key as text that an authority may hold.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl fmt::Debug for CallsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CallsKey(…)")
    }
}

/// The Durable Object classes of a Worker. One process at a time runs them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// Under which they are kept.
    pub home: ScriptTag,
    /// The classes; at least one.
    pub classes: Vec<ObjectClass>,
    /// What they are to this version.
    pub role: ObjectsRole,
}

/// What a version is to the Durable Objects of its Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectsRole {
    /// Its process runs them.
    Owner,
    /// It is deployed beside the owner, and reaches them through the owner's process.
    Guest,
    /// It is not deployed, so it is not to run.
    Replaced,
}

/// A class of Durable Objects and the namespace of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectClass {
    /// The namespace, which outlives renames of the class.
    pub namespace: ObjectNamespaceId,
    /// The exported class.
    pub name: String,
    /// Whether its objects have the SQL API.
    pub has_sql: bool,
}

/// The `version_metadata` binding's value, apart from the id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionMetadata {
    /// The tag given at upload, or empty.
    pub tag: String,
    /// RFC 3339 time of the upload.
    pub timestamp: String,
}

/// Which behaviour of the runtime a version asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Compatibility {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// Flags such as `nodejs_compat`.
    pub flags: Vec<String>,
}

/// Where a version's code begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format", content = "name")]
pub enum Entry {
    /// ES modules; the name of the main one.
    Module(String),
    /// The older service-worker format; the name of the script.
    ServiceWorker(String),
}

impl Entry {
    /// The name of the module that starts first.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Module(name) | Self::ServiceWorker(name) => name,
        }
    }
}

/// One file of a version.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name, as `import` writes it (may hold `/`).
    pub name: String,
    /// What the runtime makes of it.
    pub kind: ModuleKind,
    /// Its bytes.
    pub content: Bytes,
}

/// What the runtime makes of a module's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleKind {
    /// `application/javascript+module`
    EsModule,
    /// `application/javascript`: CommonJS, or the script of a service worker.
    CommonJs,
    /// `text/plain`
    Text,
    /// `application/octet-stream`
    Data,
    /// `application/wasm`
    Wasm,
    /// `application/json`
    Json,
    /// `text/x-python`
    Python,
    /// `text/x-python-requirement`
    PythonRequirement,
    /// `application/source-map`: kept for tools, never given to the runtime.
    SourceMap,
}

/// One thing a Worker finds in its environment.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The variable's name.
    pub name: String,
    /// What it is.
    pub kind: BindingKind,
}

/// What a binding is. A new kind of product adds a variant, and the compiler then names each place that must decide.
#[derive(Debug, Clone)]
pub enum BindingKind {
    /// A string from `[vars]`.
    PlainText(String),
    /// A JSON value from `[vars]`.
    Json(serde_json::Value),
    /// A secret string.
    SecretText(Secret),
    /// A KV namespace.
    KvNamespace(NamespaceId),
    /// An R2 bucket.
    R2Bucket(BucketName),
    /// A D1 database.
    D1(DatabaseId),
    /// Another Worker, or this one.
    Service(ServiceTarget),
    /// A Durable Object class.
    ObjectClass(ObjectTarget),
    /// Id, tag and time of the version itself.
    VersionMetadata,
    /// A WebAssembly module as a global (service-worker format); the part that holds it.
    WasmModule(String),
    /// A text file as a global (service-worker format); the part that holds it.
    TextBlob(String),
    /// A binary file as a global (service-worker format); the part that holds it.
    DataBlob(String),
}

/// The Worker behind a service binding, and the way into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The Worker; whichever version is deployed answers.
    pub script: ScriptName,
    /// The way in.
    pub entrypoint: Entrypoint,
}

/// The Durable Object class behind a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTarget {
    /// The Worker that implements it; `None` is the one that has the binding.
    pub script: Option<ScriptName>,
    /// The class.
    pub class: String,
    /// Its namespace, where another process runs the objects; `None` where the version's own process does.
    pub namespace: Option<ObjectNamespaceId>,
}

/// A way into a Worker from another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entrypoint {
    /// The exported class; `None` is the default export.
    pub name: Option<String>,
    /// What the class finds in `ctx.props`, as JSON text.
    pub props: Option<String>,
}

impl Entrypoint {
    /// Whether this is the default export without props: the way that requests from outside take as well.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.name.is_none() && self.props.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{ScriptName, Secret};

    #[test]
    fn script_names_follow_cloudflares_rules() {
        let long = "a".repeat(63);
        for right in ["a", "hello", "hello-world", "a_b", "9lives", long.as_str()] {
            assert!(right.parse::<ScriptName>().is_ok(), "{right}");
        }
        let longer = "a".repeat(64);
        for wrong in ["", "-a", "a-", "A", "a.b", "a/b", "ü", "_a", longer.as_str()] {
            assert!(wrong.parse::<ScriptName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert!(!format!("{:?}", Secret::new("hunter2".to_owned())).contains("hunter2"));
    }
}
