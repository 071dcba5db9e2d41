//! A version made from the latest one without an upload: secrets and bindings change, the code stays. Uploads, which bring
//! code, are the register's own.

use std::{collections::BTreeMap, sync::Arc};

use ::model::{Binding, BindingKind, Module, ScriptName, Secret};
use serde_json::Value;

use crate::{
    binding::Declared,
    error::WorkersError,
    model::{Manifest, Origin, Version},
    register::{Draft, Intent, Register},
    upload::{bindings_of, check_variables},
};

/// What Cloudflare and wrangler call a version or deployment that a change of secrets made.
const TRIGGER: &str = "secret";

/// How the new version's bindings differ.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Secrets by name: given, or removed if they are there.
    Secrets(BTreeMap<String, Option<Secret>>),
    /// A secret that must be there is removed.
    SecretGone(String),
    /// Bindings of any type by name, as the API writes them with that name; `None` removes one.
    Patched(BTreeMap<String, Option<Value>>),
    /// All bindings as the API writes them. One that says nothing but its type is kept as it is.
    Replaced(Vec<Value>),
}

impl Register {
    /// Makes a version of the latest one, tries it, keeps it, and deploys it if `intent` says so.
    pub(crate) async fn revise(
        self: &Arc<Self>,
        name: ScriptName,
        edit: Edit,
        annotations: BTreeMap<String, String>,
        origin: Origin,
        intent: Intent,
    ) -> Result<Version, WorkersError> {
        self.to_the_end(move |register| async move {
            let _lock = register.lock(&name).await;
            register.script(&name).await?;
            let latest = register.store().latest_version(&name).await?.ok_or(WorkersError::NoVersions)?;
            if intent == Intent::Deploy {
                register.check_latest_is_deployed(&name, &latest, &edit).await?;
            }
            let loaded = register.store().load(latest.id).await?;
            let worker = loaded.ok_or(WorkersError::Damaged("version"))?;
            let (bindings, named_anew) =
                edit.apply(&register, &name, worker.bindings, &worker.modules).await?;
            check_variables(bindings.iter().map(|binding| (binding.name.as_str(), &binding.kind)))?;
            // What is only kept may name what is gone since; that must not stop a secret from being changed.
            for binding in bindings.iter().filter(|binding| named_anew.contains(&binding.name)) {
                register.check_target(&name, binding).await?;
            }
            let Manifest { entry, compatibility, hints, exports, .. } = latest.manifest;
            let now = register.migrated(&name, None).await?;
            let (classes, declared) = register.declared(&name, now, exports, intent).await?;
            let draft = Draft {
                entry,
                compatibility,
                hints,
                bindings,
                annotations,
                modules: worker.modules,
                etag: latest.etag,
                settings: serde_json::Map::new(),
                classes,
                declared,
                trigger: TRIGGER,
            };
            Ok(register.keep(&name, draft, origin, intent).await?.version)
        })
        .await
    }

    /// A change of secrets that deploys must not bring a version into service that nobody deployed, nor end a rollout.
    async fn check_latest_is_deployed(
        &self,
        name: &ScriptName,
        latest: &Version,
        edit: &Edit,
    ) -> Result<(), WorkersError> {
        if self.active(name).await? == [latest.id] {
            return Ok(());
        }
        Err(match edit {
            Edit::Secrets(_) | Edit::SecretGone(_) => WorkersError::SecretNeedsDeployment,
            Edit::Patched(_) | Edit::Replaced(_) => WorkersError::SettingsNeedDeployment,
        })
    }
}

impl Edit {
    /// The new version's bindings, and the names of those that the edit gives whole.
    async fn apply(
        self,
        register: &Register,
        name: &ScriptName,
        mut bindings: Vec<Binding>,
        modules: &[Module],
    ) -> Result<(Vec<Binding>, Vec<String>), WorkersError> {
        match self {
            Self::Secrets(secrets) => {
                for (name, text) in secrets {
                    let is_other = |old: &Binding| old.name == name && !is_secret(old);
                    match text {
                        Some(_) if bindings.iter().any(is_other) => {
                            return Err(WorkersError::BindingTaken(name));
                        }
                        Some(text) => {
                            put(&mut bindings, Binding { name, kind: BindingKind::SecretText(text) });
                        }
                        None => bindings.retain(|old| old.name != name || !is_secret(old)),
                    }
                }
                Ok((bindings, Vec::new()))
            }
            Self::SecretGone(name) => {
                let count = bindings.len();
                bindings.retain(|old| old.name != name || !is_secret(old));
                if bindings.len() == count {
                    Err(WorkersError::SecretMissing(name))
                } else {
                    Ok((bindings, Vec::new()))
                }
            }
            Self::Patched(patch) => {
                bindings.retain(|old| patch.get(&old.name).is_none_or(Option::is_some));
                let raw: Vec<Value> = patch.into_values().flatten().collect();
                let mut names = Vec::new();
                for binding in resolved(register, name, &raw, &bindings, modules).await? {
                    names.push(binding.name.clone());
                    put(&mut bindings, binding);
                }
                Ok((bindings, names))
            }
            Self::Replaced(raw) => {
                let raw: Vec<Value> = raw.into_iter().map(kept_if_bare).collect();
                let bindings = resolved(register, name, &raw, &bindings, modules).await?;
                let is_given = |raw: &&Value| raw["type"] != "inherit";
                let names = raw.iter().filter(is_given).filter_map(|raw| raw["name"].as_str());
                Ok((bindings, names.map(str::to_owned).collect()))
            }
        }
    }
}

/// Bindings as the API writes them, those to be kept taken from `previous`.
async fn resolved(
    register: &Register,
    name: &ScriptName,
    raw: &[Value],
    previous: &[Binding],
    modules: &[Module],
) -> Result<Vec<Binding>, WorkersError> {
    let declared = register.resolve_named(name, bindings_of(raw, modules)?).await?;
    declared.into_iter().map(|declared| declared.resolve(previous)).collect()
}

impl Declared {
    /// The binding, taken from `previous` if it is to be inherited; those of named versions were put in place before.
    pub(crate) fn resolve(self, previous: &[Binding]) -> Result<Binding, WorkersError> {
        match self {
            Self::Bound(binding) => Ok(binding),
            Self::Inherited { name, from, version: _ } => {
                let found = previous.iter().find(|binding| binding.name == from);
                let kind = found.ok_or_else(|| WorkersError::InheritMissing(name.clone()))?.kind.clone();
                Ok(Binding { name, kind })
            }
        }
    }
}

fn put(bindings: &mut Vec<Binding>, new: Binding) {
    match bindings.iter_mut().find(|old| old.name == new.name) {
        Some(old) => *old = new,
        None => bindings.push(new),
    }
}

fn is_secret(binding: &Binding) -> bool {
    matches!(binding.kind, BindingKind::SecretText(_))
}

/// wrangler 4.86 lists what a version has by name and type alone, and means that it is to stay.
fn kept_if_bare(mut raw: Value) -> Value {
    let is_bare =
        raw.as_object().is_some_and(|fields| fields.keys().all(|key| key == "name" || key == "type"));
    if is_bare && raw["type"] != "version_metadata" && raw.get("type").is_some() {
        raw["type"] = "inherit".into();
    }
    raw
}
