//! Reads an upload: the multipart parts of one version become checked modules, bindings and settings. It knows nothing of
//! earlier versions; what an upload takes over from them is resolved by the register.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Write,
};

use flate2::{Compression, write::GzEncoder};
use model::{BindingKind, Compatibility, Entry, Module, ModuleKind};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::{Date, macros::format_description};
use v4::Part;

use crate::{
    binding::{self, Declared},
    classes::Migrations,
    error::WorkersError,
    exports::Exports,
    model::{
        ANNOTATION_BYTES_MAX, BINDINGS_MAX, COMPATIBILITY_DATE_DEFAULT, LABEL_BYTES_MAX, METADATA_BYTES_MAX,
        MODULE_NAME_BYTES_MAX, MODULES_MAX, VARIABLE_BYTES_MAX, VARIABLES_MAX,
    },
};

/// The script-level settings that an upload or a settings call may carry.
pub(crate) const SETTING_NAMES: [&str; 5] =
    ["logpush", "tags", "observability", "tail_consumers", "streaming_tail_consumers"];

/// A checked upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) entry: Entry,
    /// Modules, and parts that bindings name; source maps are among them.
    pub(crate) modules: Vec<Module>,
    /// No two of one name.
    pub(crate) bindings: Vec<Declared>,
    /// Types of bindings to take over from the previous version unless named anew.
    pub(crate) kept_types: HashSet<String>,
    pub(crate) compatibility: Compatibility,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) hints: Map<String, Value>,
    pub(crate) settings: Map<String, Value>,
    /// SHA-256 over all modules.
    pub(crate) etag: String,
    /// Steps that change its Durable Object classes.
    pub(crate) migrations: Option<Migrations>,
    /// What it declares of them instead.
    pub(crate) exports: Option<Exports>,
}

/// What bounds an upload besides the constants of `model.rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UploadLimits {
    /// Largest script after gzip.
    pub(crate) script_bytes_max: u64,
    /// The newest day a compatibility date may name.
    pub(crate) today: Date,
}

/// Reads the parts. Takes as long as compressing them, so it belongs on a thread that may block.
pub(crate) fn parse(parts: Vec<Part>, limits: UploadLimits) -> Result<Upload, WorkersError> {
    let (metadata, files) = split(parts)?;
    let raw: Value = serde_json::from_slice(&metadata.bytes)
        .map_err(|error| WorkersError::UploadInvalid(format!("the metadata part is not JSON: {error}")))?;
    refuse_unsupported(&raw)?;
    let declared = Metadata::deserialize(&raw)
        .map_err(|error| WorkersError::UploadInvalid(format!("the metadata part: {error}")))?;

    let entry = entry_of(declared.main_module, declared.body_part)?;
    let modules = modules_of(files, &entry)?;
    let bindings = bindings_of(&declared.bindings.unwrap_or_default(), &modules)?;
    let exports = Exports::parse(raw.get("exports"))?;
    if exports.is_some() && declared.migrations.is_some() {
        let message = "`migrations` and Durable Object `exports` are mutually exclusive: give one of them";
        return Err(WorkersError::Rejected(message.to_owned()));
    }
    let script_bytes_max = limits.script_bytes_max;
    if exceeds_compressed(&modules, script_bytes_max) {
        return Err(WorkersError::ScriptTooLarge(script_bytes_max));
    }
    Ok(Upload {
        etag: etag_of(&modules),
        entry,
        modules,
        bindings,
        kept_types: declared.keep_bindings.unwrap_or_default().into_iter().collect(),
        compatibility: Compatibility {
            date: compatibility_date_of(declared.compatibility_date, limits.today)?,
            flags: declared.compatibility_flags.unwrap_or_default(),
        },
        annotations: annotations_of(declared.annotations.unwrap_or_default())?,
        hints: chosen(&raw, &["placement", "limits"]),
        settings: chosen(&raw, &SETTING_NAMES),
        migrations: declared.migrations,
        exports,
    })
}

/// Annotations of an upload or a deployment, within their limits.
pub(crate) fn annotations_of(raw: Map<String, Value>) -> Result<BTreeMap<String, String>, WorkersError> {
    let mut annotations = BTreeMap::new();
    for (name, value) in raw {
        let Value::String(text) = value else { continue };
        if ANNOTATION_BYTES_MAX < text.len() {
            let message = format!("annotation {name} has more than {ANNOTATION_BYTES_MAX} bytes");
            return Err(WorkersError::Rejected(message));
        }
        if name == "workers/alias" && !is_alias(&text) {
            let message = format!(
                "preview alias '{text}' is not valid: use lower-case letters, digits and dashes, beginning with a letter"
            );
            return Err(WorkersError::Rejected(message));
        }
        annotations.insert(name, text);
    }
    Ok(annotations)
}

/// The fields of `raw` that `names` lists, nulls left out.
pub(crate) fn chosen(raw: &Value, names: &[&str]) -> Map<String, Value> {
    let field = |name: &&str| {
        let value = raw.get(*name).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    };
    names.iter().filter_map(field).collect()
}

#[derive(Deserialize)]
struct Metadata {
    main_module: Option<String>,
    body_part: Option<String>,
    bindings: Option<Vec<Value>>,
    keep_bindings: Option<Vec<String>>,
    compatibility_date: Option<String>,
    compatibility_flags: Option<Vec<String>>,
    annotations: Option<Map<String, Value>>,
    migrations: Option<Migrations>,
}

fn split(parts: Vec<Part>) -> Result<(Part, Vec<Part>), WorkersError> {
    let (mut metadata, files): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| part.name == "metadata");
    let invalid = |message: &str| Err(WorkersError::UploadInvalid(message.to_owned()));
    let Some(first) = metadata.pop() else {
        return invalid("it has no part named `metadata`");
    };
    if !metadata.is_empty() {
        return invalid("it has two parts named `metadata`");
    }
    if METADATA_BYTES_MAX < first.bytes.len() {
        return invalid("its metadata part is too large");
    }
    Ok((first, files))
}

fn refuse_unsupported(raw: &Value) -> Result<(), WorkersError> {
    let features = [("assets", "uploading static assets"), ("containers", "a container")];
    for (field, feature) in features {
        let is_given = match raw.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Array(rows)) => !rows.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(_) => true,
        };
        if is_given {
            return Err(WorkersError::Unsupported(feature.to_owned()));
        }
    }
    Ok(())
}

fn entry_of(main_module: Option<String>, body_part: Option<String>) -> Result<Entry, WorkersError> {
    match (main_module, body_part) {
        (Some(name), None) => Ok(Entry::Module(name)),
        (None, Some(name)) => Ok(Entry::ServiceWorker(name)),
        (Some(_), Some(_)) => Err(WorkersError::UploadInvalid(
            "its metadata names both `main_module` and `body_part`; a Worker has one of them".to_owned(),
        )),
        (None, None) => Err(WorkersError::UploadInvalid(
            "its metadata names neither `main_module` nor `body_part`".to_owned(),
        )),
    }
}

fn modules_of(files: Vec<Part>, entry: &Entry) -> Result<Vec<Module>, WorkersError> {
    if MODULES_MAX < files.len() {
        return Err(WorkersError::TooManyModules);
    }
    let mut names = HashSet::new();
    let mut modules = Vec::with_capacity(files.len());
    for file in files {
        if file.name.is_empty() || MODULE_NAME_BYTES_MAX < file.name.len() {
            let message = format!("a module's name has 1 to {MODULE_NAME_BYTES_MAX} bytes");
            return Err(WorkersError::UploadInvalid(message));
        }
        if !names.insert(file.name.clone()) {
            return Err(WorkersError::UploadInvalid(format!("it has two modules named '{}'", file.name)));
        }
        modules.push(module_of(file)?);
    }
    let Some(main) = modules.iter().find(|module| module.name == entry.name()) else {
        return Err(WorkersError::Rejected(format!("No such module \"{}\".", entry.name())));
    };
    let is_fitting = match entry {
        Entry::Module(_) => matches!(main.kind, ModuleKind::EsModule | ModuleKind::Python),
        Entry::ServiceWorker(_) => main.kind == ModuleKind::CommonJs,
    };
    if !is_fitting {
        let message =
            format!("'{}' cannot be the Worker's script: its part has another content type", main.name);
        return Err(WorkersError::Rejected(message));
    }
    Ok(modules)
}

fn module_of(file: Part) -> Result<Module, WorkersError> {
    let content_type = file.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = match essence.as_str() {
        "application/javascript+module" | "text/javascript+module" => ModuleKind::EsModule,
        "application/javascript" | "text/javascript" => ModuleKind::CommonJs,
        "text/plain" => ModuleKind::Text,
        "application/octet-stream" => ModuleKind::Data,
        "application/wasm" => ModuleKind::Wasm,
        "application/json" => ModuleKind::Json,
        "text/x-python" => ModuleKind::Python,
        "text/x-python-requirement" => ModuleKind::PythonRequirement,
        "application/source-map" => ModuleKind::SourceMap,
        _ => {
            let message = format!("module '{}' has an unknown content type '{content_type}'", file.name);
            return Err(WorkersError::Rejected(message));
        }
    };
    let is_text = match kind {
        ModuleKind::Data | ModuleKind::Wasm | ModuleKind::SourceMap => false,
        ModuleKind::EsModule
        | ModuleKind::CommonJs
        | ModuleKind::Text
        | ModuleKind::Json
        | ModuleKind::Python
        | ModuleKind::PythonRequirement => true,
    };
    if is_text && std::str::from_utf8(&file.bytes).is_err() {
        return Err(WorkersError::Rejected(format!("module '{}' is not valid UTF-8", file.name)));
    }
    Ok(Module { name: file.name, kind, content: file.bytes })
}

/// Bindings as the API writes them, each of its own name, and naming only parts that are among `modules`.
pub(crate) fn bindings_of(raw: &[Value], modules: &[Module]) -> Result<Vec<Declared>, WorkersError> {
    if BINDINGS_MAX < raw.len() {
        return Err(WorkersError::TooManyBindings);
    }
    let kinds: HashMap<&str, ModuleKind> =
        modules.iter().map(|module| (module.name.as_str(), module.kind)).collect();
    let mut names = HashSet::new();
    let mut bindings = Vec::with_capacity(raw.len());
    for (position, raw) in raw.iter().enumerate() {
        let declared = binding::parse(position, raw)?;
        if !names.insert(declared.name().to_owned()) {
            return Err(WorkersError::BindingTaken(declared.name().to_owned()));
        }
        if let Declared::Bound(bound) = &declared {
            check_part(&bound.name, &bound.kind, &kinds)?;
        }
        bindings.push(declared);
    }
    Ok(bindings)
}

fn check_part(name: &str, kind: &BindingKind, kinds: &HashMap<&str, ModuleKind>) -> Result<(), WorkersError> {
    match binding::part_of(kind) {
        Some(part) if !kinds.contains_key(part) => Err(WorkersError::Rejected(format!(
            "binding {name} names part '{part}', which the upload does not have"
        ))),
        _ => Ok(()),
    }
}

/// The rules on variables and secrets, which hold for what a version has in the end, taken over or new.
pub(crate) fn check_variables<'a>(
    bindings: impl Iterator<Item = (&'a str, &'a BindingKind)>,
) -> Result<(), WorkersError> {
    let mut count = 0;
    for (name, kind) in bindings {
        let bytes = match kind {
            BindingKind::PlainText(text) => text.len(),
            BindingKind::Json(value) => value.to_string().len(),
            BindingKind::SecretText(secret) => secret.reveal().len(),
            BindingKind::KvNamespace(_)
            | BindingKind::R2Bucket(_)
            | BindingKind::D1(_)
            | BindingKind::Service(_)
            | BindingKind::ObjectClass(_)
            | BindingKind::VersionMetadata
            | BindingKind::WasmModule(_)
            | BindingKind::TextBlob(_)
            | BindingKind::DataBlob(_) => continue,
        };
        if VARIABLE_BYTES_MAX < bytes {
            return Err(WorkersError::VariableTooLarge(name.to_owned()));
        }
        count += 1;
        if VARIABLES_MAX < count {
            return Err(WorkersError::TooManyVariables);
        }
    }
    Ok(())
}

fn compatibility_date_of(date: Option<String>, today: Date) -> Result<String, WorkersError> {
    let Some(date) = date else {
        return Ok(COMPATIBILITY_DATE_DEFAULT.to_owned());
    };
    let Ok(parsed) = Date::parse(&date, format_description!("[year]-[month]-[day]")) else {
        return Err(WorkersError::Rejected(format!(
            "Invalid compatibility date: '{date}' is not YYYY-MM-DD"
        )));
    };
    // A client east of us may already have tomorrow.
    if today.next_day().is_some_and(|tomorrow| tomorrow < parsed) {
        return Err(WorkersError::Rejected(format!("Can't set compatibility date in the future: '{date}'")));
    }
    Ok(date)
}

fn is_alias(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
}

/// Whether the modules, gzipped together, have more than `bytes_max`; stops compressing when that is clear.
fn exceeds_compressed(modules: &[Module], bytes_max: u64) -> bool {
    let code = || modules.iter().filter(|module| module.kind != ModuleKind::SourceMap);
    let raw_bytes: usize = code().map(|module| module.content.len()).sum();
    if u64::try_from(raw_bytes).is_ok_and(|raw_bytes| raw_bytes <= bytes_max) {
        return false;
    }
    let mut encoder = GzEncoder::new(Counter { left: bytes_max }, Compression::default());
    let fed = code().try_for_each(|module| encoder.write_all(&module.content));
    fed.and_then(|()| encoder.finish().map(drop)).is_err()
}

/// The content's fingerprint: names, kinds and bytes of all modules in upload order.
fn etag_of(modules: &[Module]) -> String {
    let mut hasher = Sha256::new();
    for module in modules {
        hasher.update(format!("{}\0{:?}\0{}\0", module.name, module.kind, module.content.len()));
        hasher.update(&module.content);
    }
    hex::encode(hasher.finalize())
}

/// Takes `left` bytes and fails at the next.
struct Counter {
    left: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = u64::try_from(bytes.len()).map_err(std::io::Error::other)?;
        self.left = self.left.checked_sub(taken).ok_or_else(|| std::io::Error::other("over the limit"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
