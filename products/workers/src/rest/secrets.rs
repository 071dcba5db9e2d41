//! Secrets by name: list, show, set and remove, never their text. Each change makes a version of the latest one and deploys
//! it, but for `versions/latest`, which only makes it.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use model::{BindingKind, ScriptName, Secret};
use serde_json::{Map, Value, json};
use v4::{ApiError, Envelope, Json, Path};

use super::{ScriptPath, versions::version_answer, workers::find_script};
use crate::{
    binding::{self, Declared},
    error::WorkersError,
    model::{BINDINGS_MAX, Origin},
    register::{Intent, Register},
    revision::Edit,
    upload::annotations_of,
};

/// `GET …/scripts/{script}/secrets`: names, never text.
pub(super) async fn secret_list(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    Ok(Envelope::new(secrets_of(&register, &name).await?))
}

/// `GET …/scripts/{script}/secrets/{name}`
pub(super) async fn secret_get(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Path((_, _, secret)): Path<(String, String, String)>,
) -> Result<Envelope<Value>, ApiError> {
    let secrets = secrets_of(&register, &name).await?;
    let found = secrets.into_iter().find(|found| found["name"] == secret.as_str());
    Ok(Envelope::new(found.ok_or(WorkersError::SecretMissing(secret))?))
}

/// `PUT …/scripts/{script}/secrets`
pub(super) async fn secret_put(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    origin: Origin,
    Json(body): Json<Value>,
) -> Result<Envelope<Value>, ApiError> {
    let (secret, text) = secret_of(&body)?;
    let answer = secret_answer(&secret);
    let edit = Edit::Secrets([(secret, Some(text))].into());
    register.revise(name, edit, BTreeMap::new(), origin, Intent::Deploy).await?;
    Ok(Envelope::new(answer))
}

/// `DELETE …/scripts/{script}/secrets/{name}`
pub(super) async fn secret_delete(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    Path((_, _, secret)): Path<(String, String, String)>,
    origin: Origin,
) -> Result<Envelope<Value>, ApiError> {
    register.revise(name, Edit::SecretGone(secret), BTreeMap::new(), origin, Intent::Deploy).await?;
    Ok(Envelope::new(Value::Null))
}

/// `PATCH …/scripts/{script}/secrets-bulk`: a merge patch (RFC 7396) of secrets by name.
pub(super) async fn secret_bulk(
    State(register): State<Arc<Register>>,
    ScriptPath(name): ScriptPath,
    origin: Origin,
    Json(body): Json<Value>,
) -> Result<Envelope<Vec<Value>>, ApiError> {
    let mut secrets = BTreeMap::new();
    for (key, value) in fields(&body, "secrets")? {
        if value.is_null() {
            secrets.insert(key, None);
            continue;
        }
        let (secret, text) = secret_of(&named(&key, value)?)?;
        secrets.insert(secret, Some(text));
    }
    register.revise(name.clone(), Edit::Secrets(secrets), BTreeMap::new(), origin, Intent::Deploy).await?;
    Ok(Envelope::new(secrets_of(&register, &name).await?))
}

/// `PATCH …/workers/{script}/versions/latest`: a merge patch of the latest version's bindings. Nothing is deployed.
pub(super) async fn version_patch(
    State(register): State<Arc<Register>>,
    Path((_, key)): Path<(String, String)>,
    origin: Origin,
    Json(body): Json<Value>,
) -> Result<Envelope<Value>, ApiError> {
    if let Some(field) =
        body.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| !is_patchable(name))
    {
        return Err(WorkersError::Unsupported(format!("changing `{field}` without an upload")).into());
    }
    let script = find_script(&register, &key).await?;
    let mut patch = BTreeMap::new();
    for (key, value) in fields(&body, "env")? {
        let value = if value.is_null() { None } else { Some(named(&key, value)?) };
        patch.insert(key, value);
    }
    let annotations = annotations_of(fields(&body, "annotations")?)?;
    let name = script.name.clone();
    let version = register.revise(name, Edit::Patched(patch), annotations, origin, Intent::Keep).await?;
    Ok(Envelope::new(version_answer(&script, &version)))
}

fn is_patchable(field: &str) -> bool {
    matches!(field, "env" | "annotations")
}

async fn secrets_of(register: &Register, name: &ScriptName) -> Result<Vec<Value>, WorkersError> {
    register.script(name).await?;
    let latest = register.store().latest_version(name).await?;
    let bindings = latest.map(|version| version.manifest.bindings).unwrap_or_default();
    let is_secret = |binding: &Value| binding.get("type").is_some_and(|kind| kind == "secret_text");
    Ok(bindings.into_iter().filter(is_secret).collect())
}

fn secret_answer(name: &str) -> Value {
    json!({"name": name, "type": "secret_text"})
}

/// The secret that a body gives whole.
fn secret_of(body: &Value) -> Result<(String, Secret), WorkersError> {
    match binding::parse(0, body)? {
        Declared::Bound(bound) => match bound.kind {
            BindingKind::SecretText(text) => Ok((bound.name, text)),
            _ => Err(WorkersError::Rejected(format!("'{}' is not of type secret_text", bound.name))),
        },
        Declared::Inherited { name, .. } => {
            Err(WorkersError::Rejected(format!("secret '{name}' must have a valid `text` specified")))
        }
    }
}

/// A member of a patch with the name that it is listed under.
fn named(key: &str, mut value: Value) -> Result<Value, WorkersError> {
    let Some(fields) = value.as_object_mut() else {
        return Err(WorkersError::Rejected(format!("'{key}' is not an object")));
    };
    if fields.get("name").is_some_and(|name| name != key) {
        return Err(WorkersError::Rejected(format!("'{key}' has another name inside")));
    }
    fields.insert("name".to_owned(), key.into());
    Ok(value)
}

/// The members of the object `field`; none if there is no such field.
fn fields(body: &Value, field: &str) -> Result<Map<String, Value>, WorkersError> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) if BINDINGS_MAX < fields.len() => Err(WorkersError::TooManyBindings),
        Some(Value::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(WorkersError::Rejected(format!("`{field}` is not an object"))),
    }
}
