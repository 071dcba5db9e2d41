//! Durable Object classes as an upload declares them (`exports`): the declaration, the classes that the code exports and the
//! namespaces that there are are reconciled when a version is deployed. Scenarios, and most sentences, are Cloudflare's.
//!
//! A transfer has two phases: the Worker that is to get a namespace declares that it expects it, which is kept as a
//! [`Hint`]; the Worker that has it then declares it transferred, and it passes over.

use std::collections::{BTreeMap, HashMap};

use model::{ObjectClass, ObjectNamespaceId, ScriptName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    classes::{Change, Classes},
    error::WorkersError,
    model::{CLASS_NAME_BYTES_MAX, CLASSES_MAX},
};

/// What a version declares of its Durable Object classes, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exports(BTreeMap<String, Export>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
enum Export {
    Created { storage: Storage },
    Deleted {},
    Renamed { renamed_to: String },
    Transferred { transferred_to: ScriptName },
    ExpectingTransfer { storage: Storage, transfer_from: ScriptName },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Storage {
    Sqlite,
    LegacyKv,
}

/// A namespace that a Worker expects of another one, or has got from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Who expects it.
    pub(crate) target: ScriptName,
    /// The class, which has one name in both.
    pub(crate) class: String,
    /// Who has it, or had it.
    pub(crate) source: ScriptName,
    /// Whether it has passed over.
    pub(crate) is_committed: bool,
}

/// What there is when a declaration is reconciled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    /// The Worker's namespaces.
    pub(crate) classes: Vec<ObjectClass>,
    /// Those of the Workers that the declaration names, if they exist.
    pub(crate) others: HashMap<ScriptName, Vec<ObjectClass>>,
    /// All hints in which the Worker is source or target.
    pub(crate) hints: Vec<Hint>,
    /// The other Workers that bind to a class.
    pub(crate) callers: HashMap<String, Vec<ScriptName>>,
}

/// What is wrong with one class, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportsProblem {
    class: String,
    scenario: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    referencing_scripts: Vec<ScriptName>,
}

impl Exports {
    /// Reads `exports` of an upload; `None` if it declares no Durable Object class.
    pub(crate) fn parse(raw: Option<&Value>) -> Result<Option<Self>, WorkersError> {
        let mut classes = BTreeMap::new();
        for (name, raw) in raw.and_then(Value::as_object).into_iter().flatten() {
            match raw["type"].as_str() {
                Some("durable-object") => {
                    classes.insert(name.clone(), export(name, raw)?);
                }
                Some("worker") if raw["cache"]["enabled"] == true => {
                    return Err(WorkersError::Unsupported("a cache before an entrypoint".to_owned()));
                }
                // An entrypoint is there because the code exports it.
                Some("worker") => {}
                other => {
                    return Err(WorkersError::Unsupported(format!(
                        "the export '{name}' of type '{}'",
                        other.unwrap_or_default()
                    )));
                }
            }
        }
        Ok((!classes.is_empty()).then_some(Self(classes)))
    }

    /// The Workers that it names.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = &ScriptName> {
        self.0.values().filter_map(|export| match export {
            Export::Transferred { transferred_to: script }
            | Export::ExpectingTransfer { transfer_from: script, .. } => Some(script),
            Export::Created { .. } | Export::Deleted {} | Export::Renamed { .. } => None,
        })
    }

    /// The classes that it names, and of those that there are the ones that it does not.
    pub(crate) fn named(&self, classes: &[ObjectClass]) -> Vec<String> {
        let others = classes.iter().map(|class| &class.name).filter(|name| !self.0.contains_key(*name));
        self.0.keys().chain(others).cloned().collect()
    }

    /// Whether it says that there is such a class.
    pub(crate) fn is_live(&self, class: &str) -> bool {
        matches!(self.0.get(class), Some(Export::Created { .. } | Export::ExpectingTransfer { .. }))
    }

    /// Makes the namespaces what is declared, or says of each class why not.
    pub(crate) fn reconcile(
        &self,
        name: &ScriptName,
        situation: &Situation,
        is_in_code: impl Fn(&str) -> bool,
    ) -> Result<Classes, WorkersError> {
        let mut work = Work { exports: self, name, situation, outcome: Outcome::default(), is_in_code };
        for (class, export) in &self.0 {
            if let Err(detail) = work.declare(class, export) {
                work.outcome.errors.push(detail);
            }
        }
        // A transfer is cancelled, or its memory given up, by declaring something else.
        let is_over = |hint: &&Hint| {
            let is_expected = matches!(self.0.get(&hint.class), Some(Export::ExpectingTransfer { .. }));
            hint.target == *name && !is_expected
        };
        let forgotten = situation.hints.iter().filter(is_over).map(|hint| hint.class.clone());
        work.outcome.change.forgotten = forgotten.collect();
        let undeclared = situation.classes.iter().filter(|class| !self.0.contains_key(&class.name));
        let undeclared: Vec<ExportsProblem> = undeclared.map(|class| work.undeclared(&class.name)).collect();
        work.outcome.errors.extend(undeclared);
        let Outcome { errors, now, change, report } = work.outcome;
        if !errors.is_empty() {
            return Err(WorkersError::Exports(errors));
        }
        if CLASSES_MAX < now.len() {
            return Err(WorkersError::TooMany(CLASSES_MAX, "Durable Object classes in a Worker"));
        }
        Ok(Classes { now, change: Some(Change { report: Some(report.answer()), ..change }) })
    }
}

fn export(name: &str, raw: &Value) -> Result<Export, WorkersError> {
    let mut fields = raw.as_object().cloned().unwrap_or_default();
    fields.remove("type");
    fields.retain(|_, value| !value.is_null());
    if fields.contains_key("container") {
        return Err(WorkersError::Unsupported("a container".to_owned()));
    }
    fields.entry("state").or_insert_with(|| json!("created"));
    let invalid =
        |message: String| WorkersError::Exports(vec![ExportsProblem::new(name, "invalid_export", message)]);
    if name.is_empty() || CLASS_NAME_BYTES_MAX < name.len() {
        return Err(invalid(format!("the name of a class has 1 to {CLASS_NAME_BYTES_MAX} bytes.")));
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| invalid(format!("{error}.")))
}

impl std::fmt::Display for ExportsProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}] class '{}': {}", self.scenario, self.class, self.message)
    }
}

impl ExportsProblem {
    fn new(class: &str, scenario: &'static str, message: impl Into<String>) -> Self {
        let (class, message) = (class.to_owned(), message.into());
        Self { class, scenario, message, suggestion: None, referencing_scripts: Vec::new() }
    }

    fn suggest(self, suggestion: &'static str) -> Self {
        Self { suggestion: Some(suggestion), ..self }
    }
}

/// What is told of a reconciliation that went well.
#[derive(Debug, Default)]
struct Report {
    created: Vec<String>,
    deleted: Vec<String>,
    renamed: Vec<Value>,
    transferred: Vec<Value>,
    pending: Vec<Value>,
    info: Vec<ExportsProblem>,
    removable: Vec<String>,
}

impl Report {
    fn answer(self) -> Value {
        json!({
            "created": self.created,
            "updated": [],
            "deleted": self.deleted,
            "renamed": self.renamed,
            "transferred": self.transferred,
            "transfer_pending": self.pending,
            "warnings": [],
            "info": self.info,
            "removable_entries": self.removable,
        })
    }
}

#[derive(Default)]
struct Outcome {
    errors: Vec<ExportsProblem>,
    now: Vec<ObjectClass>,
    change: Change,
    report: Report,
}

struct Work<'a, F> {
    exports: &'a Exports,
    name: &'a ScriptName,
    situation: &'a Situation,
    outcome: Outcome,
    is_in_code: F,
}

impl<F: Fn(&str) -> bool> Work<'_, F> {
    fn declare(&mut self, class: &str, export: &Export) -> Result<(), ExportsProblem> {
        match export {
            Export::Created { storage } => self.create(class, *storage),
            Export::Deleted {} => self.delete(class),
            Export::Renamed { renamed_to } => self.rename(class, renamed_to),
            Export::Transferred { transferred_to } => self.hand_over(class, transferred_to),
            Export::ExpectingTransfer { storage, transfer_from } => {
                self.expect(class, *storage, transfer_from)
            }
        }
    }

    fn provisioned(&self, class: &str) -> Option<&ObjectClass> {
        self.situation.classes.iter().find(|known| known.name == class)
    }

    /// A class that is renamed to this one in the same declaration.
    fn renamed_from(&self, class: &str) -> Option<&ObjectClass> {
        let mut sources = self.exports.0.iter().filter_map(|(from, export)| match export {
            Export::Renamed { renamed_to } if renamed_to == class => self.provisioned(from),
            _ => None,
        });
        sources.next()
    }

    fn create(&mut self, class: &str, storage: Storage) -> Result<(), ExportsProblem> {
        let is_provisioned = self.provisioned(class).is_some();
        let Some(there) = self.provisioned(class).or_else(|| self.renamed_from(class)).cloned() else {
            self.check_in_code(class, "config_references_nonexistent_class")?;
            if storage != Storage::Sqlite {
                let message = "new Durable Object namespaces must use storage 'sqlite'.";
                return Err(ExportsProblem::new(class, "invalid_export", message));
            }
            let namespace = ObjectNamespaceId::random();
            self.outcome.now.push(ObjectClass { namespace, name: class.to_owned(), has_sql: true });
            self.outcome.report.created.push(class.to_owned());
            return Ok(());
        };
        self.check_in_code(class, "config_export_not_in_code")?;
        check_storage(class, storage, &there)?;
        // What is renamed is put there by its old name's entry.
        if is_provisioned {
            self.outcome.now.push(there);
        }
        Ok(())
    }

    fn delete(&mut self, class: &str) -> Result<(), ExportsProblem> {
        if self.provisioned(class).is_none() {
            self.note_stale(class, "deleted");
            return Ok(());
        }
        if (self.is_in_code)(class) {
            let message =
                format!("Class '{class}' is still exported in code; its namespace cannot be deleted.");
            return Err(ExportsProblem::new(class, "tombstone_delete_class_still_in_code", message)
                .suggest("remove the class from your code first, then deploy the tombstone."));
        }
        let referencing_scripts = self.callers(class);
        if !referencing_scripts.is_empty() {
            let message = format!("Other Workers bind to the namespace of '{class}'.");
            let detail = ExportsProblem::new(class, "tombstone_delete_blocked_by_external_bindings", message)
                .suggest("redeploy the referencing Workers without the binding, then deploy again.");
            return Err(ExportsProblem { referencing_scripts, ..detail });
        }
        self.outcome.change.deleted.push(class.to_owned());
        self.outcome.report.deleted.push(class.to_owned());
        Ok(())
    }

    fn rename(&mut self, class: &str, to: &str) -> Result<(), ExportsProblem> {
        if class == to || !matches!(self.exports.0.get(to), Some(Export::Created { .. })) {
            let message = format!("`renamed_to` must name another class with a live entry, not '{to}'.");
            return Err(ExportsProblem::new(class, "invalid_export", message));
        }
        let Some(there) = self.provisioned(class).cloned() else {
            self.note_stale(class, "renamed");
            return Ok(());
        };
        if self.provisioned(to).is_some() || self.outcome.now.iter().any(|known| known.name == to) {
            let message = format!("A namespace for '{to}' exists already.");
            return Err(ExportsProblem::new(class, "tombstone_renamed_to_occupied", message)
                .suggest("delete it with a `deleted` tombstone in a deployment of its own first."));
        }
        self.outcome.now.push(ObjectClass { name: to.to_owned(), ..there });
        self.outcome.report.renamed.push(json!({"from": class, "to": to}));
        self.note_still_in_code(class, "renamed");
        Ok(())
    }

    fn hand_over(&mut self, class: &str, to: &ScriptName) -> Result<(), ExportsProblem> {
        let Some(there) = self.provisioned(class).cloned() else {
            self.note_stale(class, "transferred");
            return Ok(());
        };
        if !self.situation.others.contains_key(to) {
            let message = format!("The Worker '{to}' does not exist.");
            return Err(ExportsProblem::new(class, "transferred_target_missing", message));
        }
        if self.situation.others.get(to).into_iter().flatten().any(|known| known.name == class) {
            let message = format!("The Worker '{to}' has a namespace for '{class}' of its own.");
            return Err(ExportsProblem::new(class, "transferred_pending_not_found", message));
        }
        let is_mine = |hint: &&Hint| hint.source == *self.name && hint.class == class && !hint.is_committed;
        let mut hints = self.situation.hints.iter().filter(is_mine).peekable();
        if hints.peek().is_none() {
            let message = format!("The Worker '{to}' has no `expecting-transfer` entry for '{class}'.");
            return Err(ExportsProblem::new(class, "transferred_pending_not_found", message).suggest(
                "deploy the target first, with an `expecting-transfer` entry that names this Worker.",
            ));
        }
        if !hints.any(|hint| hint.target == *to) {
            let message = format!("Another Worker than '{to}' expects the transfer of '{class}'.");
            return Err(ExportsProblem::new(class, "transferred_target_mismatch", message));
        }
        self.outcome.change.given.push((there.namespace, to.clone(), class.to_owned()));
        self.outcome.report.transferred.push(json!({"class": class, "to": to, "phase": "committed"}));
        self.note_still_in_code(class, "transferred");
        Ok(())
    }

    fn expect(&mut self, class: &str, storage: Storage, from: &ScriptName) -> Result<(), ExportsProblem> {
        let mine = |hint: &&Hint| hint.target == *self.name && hint.class == class;
        let hint = self.situation.hints.iter().find(mine);
        self.check_in_code(class, "config_export_not_in_code")?;
        if let Some(there) = self.provisioned(class).cloned() {
            match hint.filter(|hint| hint.is_committed) {
                None => {
                    let message = format!("This Worker has a namespace for '{class}' already.");
                    return Err(ExportsProblem::new(
                        class,
                        "phase_one_transfer_target_class_provisioned",
                        message,
                    )
                    .suggest("replace the entry by a live one."));
                }
                Some(hint) if hint.source != *from => {
                    let message = format!("The namespace of '{class}' came from '{}'.", hint.source);
                    return Err(ExportsProblem::new(
                        class,
                        "phase_one_transfer_after_commit_mismatch",
                        message,
                    ));
                }
                Some(_) => {}
            }
            check_storage(class, storage, &there)?;
            let message = format!(
                "The transfer of '{class}' from '{from}' is done; a live entry can replace this one."
            );
            self.outcome.report.info.push(ExportsProblem::new(
                class,
                "transfer_receive_already_applied",
                message,
            ));
            self.outcome.now.push(there);
            return Ok(());
        }
        let Some(source) = self.situation.others.get(from) else {
            let message = format!("The Worker '{from}' does not exist.");
            return Err(ExportsProblem::new(class, "phase_one_transfer_source_missing", message));
        };
        let Some(there) = source.iter().find(|known| known.name == class) else {
            let message = format!("The Worker '{from}' has no namespace for '{class}'.");
            return Err(ExportsProblem::new(class, "phase_one_transfer_source_namespace_missing", message));
        };
        check_storage(class, storage, there)?;
        match hint.filter(|hint| !hint.is_committed) {
            Some(hint) if hint.source == *from => {}
            Some(hint) => {
                let message = format!("'{class}' is expected from '{}' already.", hint.source);
                return Err(ExportsProblem::new(class, "phase_one_transfer_duplicate", message)
                    .suggest("cancel that transfer first: deploy without the entry."));
            }
            None => {
                self.outcome.change.expected.push((class.to_owned(), from.clone()));
                self.outcome.report.pending.push(json!({"class": class, "from": from}));
            }
        }
        Ok(())
    }

    fn undeclared(&self, class: &str) -> ExportsProblem {
        if (self.is_in_code)(class) {
            let message = format!("A namespace exists for '{class}' but no `exports` entry declares it.");
            return ExportsProblem::new(class, "provisioned_class_missing_from_config", message)
                .suggest("add a live `exports` entry to keep the namespace, or a tombstone to retire it.");
        }
        let message = format!("A namespace exists for '{class}' but no `exports` entry declares it.");
        let detail = ExportsProblem::new(class, "orphaned_provisioned_namespace", message).suggest(
            "add a `deleted` tombstone to remove the namespace, or the class to your code and `exports`.",
        );
        ExportsProblem { referencing_scripts: self.callers(class), ..detail }
    }

    fn check_in_code(&self, class: &str, scenario: &'static str) -> Result<(), ExportsProblem> {
        if (self.is_in_code)(class) {
            return Ok(());
        }
        let message = format!("Class '{class}' is declared in `exports` but the code does not export it.");
        Err(ExportsProblem::new(class, scenario, message)
            .suggest("add the class to your code, or replace the entry by a tombstone."))
    }

    fn note_stale(&mut self, class: &str, kind: &str) {
        let referencing_scripts = self.callers(class);
        if referencing_scripts.is_empty() {
            self.outcome.report.removable.push(class.to_owned());
        }
        let message = format!(
            "Tombstone of type '{kind}' for class '{class}' has no effect (no namespace exists with this class name). Safe to remove from `exports`."
        );
        let detail = ExportsProblem::new(class, "stale_tombstone", message);
        self.outcome.report.info.push(ExportsProblem { referencing_scripts, ..detail });
    }

    fn note_still_in_code(&mut self, class: &str, kind: &str) {
        let referencing_scripts = self.callers(class);
        if !(self.is_in_code)(class) && referencing_scripts.is_empty() {
            return;
        }
        let message = format!(
            "Tombstone of type '{kind}' applied. Class '{class}' is still exported in code or bound."
        );
        let detail = ExportsProblem::new(class, "tombstone_class_still_in_code", message);
        self.outcome.report.info.push(ExportsProblem { referencing_scripts, ..detail });
    }

    fn callers(&self, class: &str) -> Vec<ScriptName> {
        self.situation.callers.get(class).cloned().unwrap_or_default()
    }
}

fn check_storage(class: &str, storage: Storage, there: &ObjectClass) -> Result<(), ExportsProblem> {
    if (storage == Storage::Sqlite) == there.has_sql {
        return Ok(());
    }
    let message = format!("The namespace of '{class}' has another storage; it cannot be changed.");
    Err(ExportsProblem::new(class, "storage_type_mismatch", message))
}

#[cfg(test)]
mod tests {
    use model::{ObjectClass, ObjectNamespaceId};
    use serde_json::{Value, json};

    use super::{Exports, Hint, Situation};
    use crate::{classes::Classes, error::WorkersError};

    /// `giver` has A with SQL and B without; `taker` expects A of it.
    fn situation() -> Situation {
        let class = |name: &str| ObjectClass {
            namespace: ObjectNamespaceId::random(),
            name: name.to_owned(),
            has_sql: name == "A",
        };
        Situation {
            classes: vec![class("A"), class("B")],
            others: [("taker".parse().unwrap(), Vec::new()), ("other".parse().unwrap(), vec![class("C")])]
                .into(),
            hints: vec![Hint {
                target: "taker".parse().unwrap(),
                class: "A".to_owned(),
                source: "giver".parse().unwrap(),
                is_committed: false,
            }],
            callers: [("B".to_owned(), vec!["caller".parse().unwrap()])].into(),
        }
    }

    fn reconcile(exports: &Value, in_code: &[&str]) -> Result<Classes, WorkersError> {
        let mut exports = exports.clone();
        for export in exports.as_object_mut().unwrap().values_mut() {
            export["type"] = json!("durable-object");
        }
        let exports = Exports::parse(Some(&exports))?.unwrap();
        exports.reconcile(&"giver".parse().unwrap(), &situation(), |class| in_code.contains(&class))
    }

    fn kept() -> Value {
        json!({"A": {"storage": "sqlite"}, "B": {"storage": "legacy-kv"}})
    }

    fn with(mut exports: Value, class: &str, export: Value) -> Value {
        exports[class] = export;
        exports
    }

    #[test]
    fn what_fits_is_done_and_told() {
        let check = |exports: Value, in_code: &[&str], now: &[&str], told: Value| {
            let classes = reconcile(&exports, in_code).unwrap();
            let names: Vec<&str> = classes.now.iter().map(|class| class.name.as_str()).collect();
            assert_eq!(names, now, "{exports}");
            let mut report = classes.change.unwrap().report.unwrap();
            report.as_object_mut().unwrap().retain(|_, list| *list != json!([]));
            for info in report.get_mut("info").and_then(Value::as_array_mut).into_iter().flatten() {
                *info = info["scenario"].clone();
            }
            assert_eq!(report, told, "{exports}");
        };
        check(kept(), &["A", "B"], &["A", "B"], json!({}));
        let sql = json!({"storage": "sqlite"});
        check(with(kept(), "D", sql.clone()), &["A", "B", "D"], &["A", "B", "D"], json!({"created": ["D"]}));
        let gone = json!({"state": "deleted"});
        check(with(kept(), "A", gone.clone()), &["B"], &["B"], json!({"deleted": ["A"]}));
        let stale = json!({"info": ["stale_tombstone"], "removable_entries": ["D"]});
        check(with(kept(), "D", gone), &["A", "B"], &["A", "B"], stale);
        let renamed = with(with(kept(), "A", json!({"state": "renamed", "renamed_to": "D"})), "D", sql);
        check(renamed.clone(), &["B", "D"], &["D", "B"], json!({"renamed": [{"from": "A", "to": "D"}]}));
        let rolling =
            json!({"renamed": [{"from": "A", "to": "D"}], "info": ["tombstone_class_still_in_code"]});
        check(renamed, &["A", "B", "D"], &["D", "B"], rolling);
        let given = with(kept(), "A", json!({"state": "transferred", "transferred_to": "taker"}));
        let told = json!({"transferred": [{"class": "A", "to": "taker", "phase": "committed"}]});
        check(given, &["B"], &["B"], told);
        let expected =
            json!({"state": "expecting-transfer", "storage": "legacy-kv", "transfer_from": "other"});
        let told = json!({"transfer_pending": [{"class": "C", "from": "other"}]});
        check(with(kept(), "C", expected), &["A", "B", "C"], &["A", "B"], told);
    }

    #[test]
    fn what_does_not_fit_is_told_of_all_classes_at_once() {
        let check = |exports: Value, in_code: &[&str], scenarios: &[&str]| {
            let Err(WorkersError::Exports(problems)) = reconcile(&exports, in_code) else {
                panic!("{exports}")
            };
            let found: Vec<&str> = problems.iter().map(|problem| problem.scenario).collect();
            assert_eq!(found, scenarios, "{exports}");
        };
        let sql = json!({"storage": "sqlite"});
        let transferred = |to: &str| json!({"state": "transferred", "transferred_to": to});
        let expecting = |storage: &str, from: &str| json!({"state": "expecting-transfer", "storage": storage, "transfer_from": from});
        let all = &["A", "B", "C", "D"][..];
        check(kept(), &["A"], &["config_export_not_in_code"]);
        check(with(kept(), "D", sql.clone()), &["A", "B"], &["config_references_nonexistent_class"]);
        check(with(kept(), "D", json!({"storage": "legacy-kv"})), all, &["invalid_export"]);
        check(with(kept(), "B", sql.clone()), all, &["storage_type_mismatch"]);
        check(with(kept(), "D", json!({"state": "deleted", "storage": "sqlite"})), all, &["invalid_export"]);
        check(with(kept(), "A", json!({"state": "deleted"})), all, &["tombstone_delete_class_still_in_code"]);
        let bound = "tombstone_delete_blocked_by_external_bindings";
        check(with(kept(), "B", json!({"state": "deleted"})), &["A"], &[bound]);
        let rename = json!({"state": "renamed", "renamed_to": "B"});
        check(with(kept(), "A", rename.clone()), all, &["tombstone_renamed_to_occupied"]);
        check(json!({"A": rename}), all, &["invalid_export", "provisioned_class_missing_from_config"]);
        check(
            json!({"D": sql}),
            &["A", "D"],
            &["provisioned_class_missing_from_config", "orphaned_provisioned_namespace"],
        );
        check(with(kept(), "A", transferred("nobody")), all, &["transferred_target_missing"]);
        check(with(kept(), "A", transferred("other")), all, &["transferred_target_mismatch"]);
        check(with(kept(), "B", transferred("other")), all, &["transferred_pending_not_found"]);
        let taken = "phase_one_transfer_target_class_provisioned";
        check(with(kept(), "A", expecting("sqlite", "other")), all, &[taken]);
        check(with(kept(), "C", expecting("sqlite", "other")), all, &["storage_type_mismatch"]);
        check(with(kept(), "C", expecting("sqlite", "nobody")), all, &["phase_one_transfer_source_missing"]);
        let missing = "phase_one_transfer_source_namespace_missing";
        check(with(kept(), "D", expecting("sqlite", "other")), all, &[missing]);
    }
}
