//! Bindings as the API writes them, to and from what a version holds. The same form, without secret text, is what is
//! kept with a version and shown to clients.

use model::{Binding, BindingKind, Entrypoint, ObjectTarget, Secret, ServiceTarget, VersionId};
use serde_json::{Value, json};

use crate::error::WorkersError;

/// A binding as an upload declares it.
#[derive(Debug, Clone)]
pub(crate) enum Declared {
    /// Given whole.
    Bound(Binding),
    /// Taken over from an earlier version.
    Inherited {
        /// The name it has from now on.
        name: String,
        /// The name it had.
        from: String,
        /// Which version had it; the latest unless another is named.
        version: Option<VersionId>,
    },
}

impl Declared {
    /// The variable's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bound(binding) => &binding.name,
            Self::Inherited { name, .. } => name,
        }
    }
}

/// Reads the binding at `position` of an upload.
pub(crate) fn parse(position: usize, raw: &Value) -> Result<Declared, WorkersError> {
    let name = text(raw, "name").filter(|name| !name.is_empty());
    let Some(name) = name.map(str::to_owned) else {
        return Err(WorkersError::BindingNameless(position));
    };
    let Some(kind) = text(raw, "type") else {
        return Err(WorkersError::Rejected(format!("binding {name} has no type")));
    };
    let lacks = |field: &str| {
        WorkersError::Rejected(format!("binding {name} of type {kind} must have a valid `{field}` specified"))
    };
    let needed = |field: &str| text(raw, field).map(str::to_owned).ok_or_else(|| lacks(field));
    let kind = match kind {
        "plain_text" => BindingKind::PlainText(needed("text")?),
        "json" => BindingKind::Json(raw.get("json").ok_or_else(|| lacks("json"))?.clone()),
        "secret_text" => match text(raw, "text") {
            Some(secret) => BindingKind::SecretText(Secret::new(secret.to_owned())),
            // Lists never carry the text, so a client that sends a list back means "keep".
            None => return Ok(Declared::Inherited { from: name.clone(), name, version: None }),
        },
        "inherit" => {
            let version = text(raw, "version_id").filter(|version| *version != "latest");
            // An id that is none in form is no version's in fact.
            let version = version.map(str::parse).transpose();
            let version = version.map_err(|_cause| WorkersError::InheritMissing(name.clone()))?;
            let from = text(raw, "old_name").unwrap_or(&name).to_owned();
            return Ok(Declared::Inherited { name, from, version });
        }
        "kv_namespace" => {
            let id = needed("namespace_id")?;
            // An id that is none of ours in form is none of ours in fact.
            BindingKind::KvNamespace(id.parse().map_err(|_cause| WorkersError::NamespaceMissing(id))?)
        }
        "r2_bucket" => {
            let name = needed("bucket_name")?;
            BindingKind::R2Bucket(name.parse().map_err(|_cause| WorkersError::BucketMissing(name))?)
        }
        "d1" => {
            // `database_id` is its name in configuration files and in newer clients.
            let id = text(raw, "id").or_else(|| text(raw, "database_id")).ok_or_else(|| lacks("id"))?;
            let missing = |_cause| WorkersError::DatabaseMissing { binding: name.clone(), id: id.to_owned() };
            BindingKind::D1(id.parse().map_err(missing)?)
        }
        "service" => BindingKind::Service(service(raw, needed("service")?)?),
        "durable_object_namespace" => {
            let script = text(raw, "script_name").map(str::parse).transpose();
            let script = script.map_err(WorkersError::NameInvalid)?;
            BindingKind::ObjectClass(ObjectTarget { script, class: needed("class_name")?, namespace: None })
        }
        "version_metadata" => BindingKind::VersionMetadata,
        "wasm_module" => BindingKind::WasmModule(needed("part")?),
        "text_blob" => BindingKind::TextBlob(needed("part")?),
        "data_blob" => BindingKind::DataBlob(needed("part")?),
        other => {
            let message =
                format!("binding {name} of type {other} is not supported by this version of Skerry yet");
            return Err(WorkersError::Rejected(message));
        }
    };
    Ok(Declared::Bound(Binding { name, kind }))
}

/// The API's form of a binding, without secret text.
pub(crate) fn describe(binding: &Binding) -> Value {
    let name = &binding.name;
    match &binding.kind {
        BindingKind::PlainText(text) => json!({"name": name, "type": "plain_text", "text": text}),
        BindingKind::Json(value) => json!({"name": name, "type": "json", "json": value}),
        BindingKind::SecretText(_) => json!({"name": name, "type": "secret_text"}),
        BindingKind::KvNamespace(id) => json!({"name": name, "type": "kv_namespace", "namespace_id": id}),
        BindingKind::R2Bucket(bucket) => json!({"name": name, "type": "r2_bucket", "bucket_name": bucket}),
        BindingKind::D1(id) => json!({"name": name, "type": "d1", "id": id.to_string()}),
        BindingKind::Service(target) => describe_service(name, target),
        BindingKind::ObjectClass(target) => describe_objects(name, target),
        BindingKind::VersionMetadata => json!({"name": name, "type": "version_metadata"}),
        BindingKind::WasmModule(part) => json!({"name": name, "type": "wasm_module", "part": part}),
        BindingKind::TextBlob(part) => json!({"name": name, "type": "text_blob", "part": part}),
        BindingKind::DataBlob(part) => json!({"name": name, "type": "data_blob", "part": part}),
    }
}

/// Reads back what [`describe`] wrote; `secret` finds the text of a secret by its name.
pub(crate) fn restore(
    described: &Value,
    secret: impl FnOnce(&str) -> Option<Secret>,
) -> Result<Binding, WorkersError> {
    match parse(0, described) {
        Ok(Declared::Bound(mut binding)) => {
            if let BindingKind::ObjectClass(target) = &mut binding.kind {
                let namespace = text(described, "namespace_id").map(str::parse).transpose();
                target.namespace = namespace.map_err(|_cause| WorkersError::Damaged("binding"))?;
            }
            Ok(binding)
        }
        Ok(Declared::Inherited { name, .. }) => {
            let text = secret(&name).ok_or(WorkersError::Damaged("secret"))?;
            Ok(Binding { name, kind: BindingKind::SecretText(text) })
        }
        Err(_) => Err(WorkersError::Damaged("binding")),
    }
}

/// The part of the upload that a binding names, if it is of a kind that names one.
pub(crate) fn part_of(kind: &BindingKind) -> Option<&str> {
    match kind {
        BindingKind::WasmModule(part) | BindingKind::TextBlob(part) | BindingKind::DataBlob(part) => {
            Some(part)
        }
        BindingKind::PlainText(_)
        | BindingKind::Json(_)
        | BindingKind::SecretText(_)
        | BindingKind::KvNamespace(_)
        | BindingKind::R2Bucket(_)
        | BindingKind::D1(_)
        | BindingKind::Service(_)
        | BindingKind::ObjectClass(_)
        | BindingKind::VersionMetadata => None,
    }
}

/// The type's name in the API, as `keep_bindings` lists it.
pub(crate) fn type_name(kind: &BindingKind) -> &'static str {
    match kind {
        BindingKind::PlainText(_) => "plain_text",
        BindingKind::Json(_) => "json",
        BindingKind::SecretText(_) => "secret_text",
        BindingKind::KvNamespace(_) => "kv_namespace",
        BindingKind::R2Bucket(_) => "r2_bucket",
        BindingKind::D1(_) => "d1",
        BindingKind::Service(_) => "service",
        BindingKind::ObjectClass(_) => "durable_object_namespace",
        BindingKind::VersionMetadata => "version_metadata",
        BindingKind::WasmModule(_) => "wasm_module",
        BindingKind::TextBlob(_) => "text_blob",
        BindingKind::DataBlob(_) => "data_blob",
    }
}

/// The target of a service binding. `environment` belongs to a scheme that Cloudflare has given up: a Worker of an
/// environment is a Worker of its own name today.
fn service(raw: &Value, script: String) -> Result<ServiceTarget, WorkersError> {
    let script = script.parse().map_err(WorkersError::NameInvalid)?;
    let props = raw.get("props").filter(|props| !props.is_null());
    let entrypoint = Entrypoint {
        name: text(raw, "entrypoint").filter(|name| *name != "default").map(str::to_owned),
        props: props.map(Value::to_string),
    };
    Ok(ServiceTarget { script, entrypoint })
}

fn describe_service(name: &str, target: &ServiceTarget) -> Value {
    let mut described = json!({"name": name, "type": "service", "service": target.script});
    if let Some(entrypoint) = &target.entrypoint.name {
        described["entrypoint"] = json!(entrypoint);
    }
    if let Some(props) = &target.entrypoint.props {
        described["props"] = serde_json::from_str(props).unwrap_or_default();
    }
    described
}

fn describe_objects(name: &str, target: &ObjectTarget) -> Value {
    let mut described = json!({"name": name, "type": "durable_object_namespace", "class_name": target.class});
    if let Some(script) = &target.script {
        described["script_name"] = json!(script);
    }
    if let Some(namespace) = &target.namespace {
        described["namespace_id"] = json!(namespace);
    }
    described
}

fn text<'a>(raw: &'a Value, field: &str) -> Option<&'a str> {
    raw.get(field).and_then(Value::as_str)
}
