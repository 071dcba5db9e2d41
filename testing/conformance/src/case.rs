//! A case as it lies on disk: read, checked and given its defaults.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, header::HOST};
use serde::Deserialize;
use serde_json::Value;

/// The file of a case's second Worker.
const OWNER_FILE: &str = "owner.js";

/// A Worker and what is asked of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// `<product>/<case>`.
    pub(crate) name: String,
    pub(crate) description: Description,
    /// The main file first.
    pub(crate) files: Vec<SourceFile>,
    /// The one file of a second Worker, which owns the objects that the first one uses.
    pub(crate) owner: Option<SourceFile>,
}

/// A file of the Worker.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) kind: FileKind,
    pub(crate) content: Vec<u8>,
}

/// What a file is to the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Script,
    Text,
    Data,
    Wasm,
}

/// `case.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    pub(crate) format: Format,
    #[serde(default = "default_date")]
    pub(crate) compatibility_date: String,
    #[serde(default)]
    pub(crate) compatibility_flags: Vec<String>,
    #[serde(default)]
    pub(crate) bindings: BTreeMap<String, Binding>,
    #[serde(default = "default_requests")]
    pub(crate) requests: Vec<Ask>,
    #[serde(default)]
    pub(crate) mask: Vec<String>,
    #[serde(default)]
    pub(crate) differences: Vec<Difference>,
    /// Those from workerd's own KV or D1.
    #[serde(default)]
    pub(crate) bundled_differences: Vec<Difference>,
}

/// How the Worker's code is given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    #[default]
    Modules,
    ServiceWorker,
}

/// A binding, by the product behind it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Binding {
    Kv,
    /// An R2 bucket of its own.
    R2,
    /// A D1 database of its own.
    D1,
    /// A class of Durable Objects that the case's Worker exports, with SQL.
    Object(String),
    /// The same, exported by the case's second Worker.
    ObjectElsewhere(String),
    Text(String),
    Json(Value),
    VersionMetadata,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    #[serde(default = "default_method")]
    pub(crate) method: String,
    #[serde(default = "default_path")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) body_base64: String,
    #[serde(default = "default_status")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) compare_headers: Vec<String>,
    /// Opens a WebSocket and sends these, each after the answer to the one before.
    #[serde(default)]
    pub(crate) websocket: Vec<String>,
}

/// Where we differ from the reference on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) request: usize,
    /// As the comparison names the place: `body/errors/0`, `header content-type` …
    pub(crate) at: String,
    pub(crate) reason: String,
}

/// All cases, in the order of their names.
pub(crate) fn load_all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let products = folders(&folder);
    let mut cases: Vec<_> =
        products.iter().flat_map(|product| folders(product)).map(|path| load(&path)).collect();
    cases.sort_by(|left, right| left.name.cmp(&right.name));
    cases
}

impl Case {
    /// The name as a script name, and so as a host label.
    pub(crate) fn script(&self) -> String {
        self.name.replace(['/', '_'], "-")
    }

    /// The second Worker's name.
    pub(crate) fn owner_script(&self) -> String {
        format!("{}-owner", self.script())
    }

    /// The classes that the second Worker exports.
    pub(crate) fn owner_classes(&self) -> impl Iterator<Item = &str> {
        self.description.bindings.values().filter_map(|binding| match binding {
            Binding::ObjectElsewhere(class) => Some(class.as_str()),
            Binding::Kv
            | Binding::R2
            | Binding::D1
            | Binding::Object(_)
            | Binding::Text(_)
            | Binding::Json(_)
            | Binding::VersionMetadata => None,
        })
    }

    /// The host that both sides are asked under.
    pub(crate) fn host(&self) -> String {
        format!("{}.localhost", self.script())
    }

    /// One of its requests, ready to be sent.
    pub(crate) fn request(&self, ask: &Ask) -> Request<Bytes> {
        let method = Method::from_bytes(ask.method.as_bytes())
            .unwrap_or_else(|error| panic!("{}: method {}: {error}", self.name, ask.method));
        let mut request = Request::builder().method(method).uri(&ask.path).header(HOST, self.host());
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let body = if ask.body_base64.is_empty() {
            ask.body.clone().into_bytes()
        } else {
            BASE64_STANDARD
                .decode(&ask.body_base64)
                .unwrap_or_else(|error| panic!("{}: body_base64: {error}", self.name))
        };
        request.body(body.into()).unwrap_or_else(|error| panic!("{}: {}: {error}", self.name, ask.path))
    }
}

fn load(folder: &Path) -> Case {
    let parts: Vec<_> = folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    let name = format!("{}/{}", parts[1], parts[0]);
    let text = fs::read_to_string(folder.join("case.json")).unwrap_or_else(|_| "{}".into());
    let description: Description =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}/case.json: {error}"));
    for difference in description.differences.iter().chain(&description.bundled_differences) {
        assert!(!difference.reason.is_empty(), "{name}: a difference needs a reason");
        assert!(difference.request < description.requests.len(), "{name}: a difference of no request");
    }
    let mut files: Vec<_> = entries(folder).iter().filter_map(|path| file(path)).collect();
    files.sort_by_key(|file| (file.name != "worker.js", file.name.clone()));
    assert!(files.first().is_some_and(|file| file.name == "worker.js"), "{name}: no worker.js");
    let owner = files.iter().position(|file| file.name == OWNER_FILE).map(|position| files.remove(position));
    Case { name, description, files, owner }
}

fn file(path: &Path) -> Option<SourceFile> {
    let kind = match path.extension()?.to_str()? {
        "js" => FileKind::Script,
        "txt" => FileKind::Text,
        "bin" => FileKind::Data,
        "wasm" => FileKind::Wasm,
        _ => return None,
    };
    let content = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    Some(SourceFile { name: path.file_name()?.to_string_lossy().into_owned(), kind, content })
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    entries(parent).into_iter().filter(|path| path.is_dir()).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
    entries.map(|entry| entry.expect("list the cases").path()).collect()
}

fn default_date() -> String {
    "2026-11-01".into()
}

fn default_method() -> String {
    "GET".into()
}

fn default_path() -> String {
    "/".into()
}

fn default_status() -> u16 {
    200
}

fn default_requests() -> Vec<Ask> {
    vec![Ask {
        method: default_method(),
        path: default_path(),
        headers: BTreeMap::new(),
        body: String::new(),
        body_base64: String::new(),
        status: default_status(),
        compare_headers: Vec::new(),
        websocket: Vec::new(),
    }]
}
