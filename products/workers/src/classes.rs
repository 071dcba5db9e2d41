//! Durable Object classes: what the migrations of an upload make of a Worker's namespaces, and whether a version fits
//! them. Codes and most sentences are Cloudflare's, observed.

use std::collections::HashMap;

use model::{ObjectClass, ObjectNamespaceId, ScriptName};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::WorkersError,
    model::{CLASS_NAME_BYTES_MAX, CLASSES_MAX, Version},
};

/// The migrations of an upload: those steps that its client believes are still to be done.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Migrations {
    old_tag: Option<String>,
    new_tag: Option<String>,
    steps: Option<Vec<Step>>,
    /// The API also takes a single step without a list.
    #[serde(flatten)]
    only: Step,
}

#[derive(Debug, Default, Deserialize)]
struct Step {
    new_classes: Option<Vec<String>>,
    new_sqlite_classes: Option<Vec<String>>,
    renamed_classes: Option<Vec<Renamed>>,
    deleted_classes: Option<Vec<String>>,
    transferred_classes: Option<Vec<Transferred>>,
}

#[derive(Debug, Deserialize)]
struct Renamed {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
struct Transferred {
    from: String,
    from_script: ScriptName,
    to: String,
}

/// The classes of other Workers that migrations take from.
pub(crate) type Sources = HashMap<ScriptName, Vec<ObjectClass>>;

impl Migrations {
    /// The Workers that it takes classes from.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &ScriptName> {
        let steps = self.steps.iter().flatten().chain([&self.only]);
        steps.flat_map(|step| step.transferred_classes.iter().flatten()).map(|class| &class.from_script)
    }
}

/// A Worker's classes as they are to be once an upload is committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classes {
    /// All of them.
    pub(crate) now: Vec<ObjectClass>,
    /// What the upload changes, if it has migrations.
    pub(crate) change: Option<Change>,
}

/// What migrations change besides the classes themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// The tag from now on.
    pub(crate) tag: Option<String>,
    /// Classes that must be exported because a step names them, with the step's name.
    pub(crate) named: Vec<(String, &'static str)>,
    /// Classes whose objects go.
    pub(crate) deleted: Vec<String>,
    /// Workers whose classes come to this one.
    pub(crate) sources: Vec<ScriptName>,
    /// Namespaces that pass to another Worker, and as which class.
    pub(crate) given: Vec<(ObjectNamespaceId, ScriptName, String)>,
    /// Classes that are expected from another Worker from now on.
    pub(crate) expected: Vec<(String, ScriptName)>,
    /// Classes of which it is no longer remembered that they were expected.
    pub(crate) forgotten: Vec<String>,
    /// What a declaration of exports has led to, in the API's form.
    pub(crate) report: Option<Value>,
}

impl Classes {
    /// Applies migrations to the classes that there are. `sources` has the classes of all Workers that it takes from.
    pub(crate) fn migrate(
        before: Vec<ObjectClass>,
        tag: Option<&str>,
        migrations: Migrations,
        mut sources: Sources,
    ) -> Result<Self, WorkersError> {
        if migrations.old_tag.as_deref().filter(|tag| !tag.is_empty()) != tag {
            return Err(WorkersError::MigrationTag(tag.map(str::to_owned)));
        }
        let mut classes = Self { now: before, change: None };
        let mut change = Change { tag: migrations.new_tag, ..Change::default() };
        let steps = migrations.steps.unwrap_or_default();
        for step in steps.into_iter().chain([migrations.only]) {
            classes.apply(step, &mut change, &mut sources)?;
        }
        if CLASSES_MAX < classes.now.len() {
            return Err(WorkersError::TooMany(CLASSES_MAX, "Durable Object classes in a Worker"));
        }
        classes.change = Some(change);
        Ok(classes)
    }

    fn apply(&mut self, step: Step, change: &mut Change, sources: &mut Sources) -> Result<(), WorkersError> {
        for class in step.deleted_classes.into_iter().flatten() {
            let position = self.position(&class, "deleted_classes")?;
            self.now.remove(position);
            change.named.retain(|(named, _)| *named != class);
            change.deleted.push(class);
        }
        for Renamed { from, to } in step.renamed_classes.into_iter().flatten() {
            let position = self.position(&from, "renamed_classes")?;
            self.check_new(&to, "renamed-class")?;
            self.now[position].name.clone_from(&to);
            change.named.retain(|(named, _)| *named != from);
            change.named.push((to, "renamed-class"));
        }
        for transferred in step.transferred_classes.into_iter().flatten() {
            self.take_over(transferred, change, sources)?;
        }
        let new = step.new_classes.into_iter().flatten().map(|class| (class, false, "new-class"));
        let with_sql = step.new_sqlite_classes.into_iter().flatten();
        for (name, has_sql, migration) in new.chain(with_sql.map(|class| (class, true, "new-sqlite-class"))) {
            self.check_new(&name, migration)?;
            change.named.push((name.clone(), migration));
            self.now.push(ObjectClass { namespace: ObjectNamespaceId::random(), name, has_sql });
        }
        Ok(())
    }

    /// The namespace comes as it is: with its id, so that its objects keep theirs, and with its kind of storage.
    fn take_over(
        &mut self,
        transferred: Transferred,
        change: &mut Change,
        sources: &mut Sources,
    ) -> Result<(), WorkersError> {
        let Transferred { from, from_script, to } = transferred;
        let there = sources.get_mut(&from_script);
        let there = there.and_then(|classes| {
            let position = classes.iter().position(|class| class.name == from)?;
            Some(classes.remove(position))
        });
        let Some(class) = there else {
            let class = format!("'{from}' of Worker '{from_script}'");
            return Err(WorkersError::ClassMissing { class, migration: "transferred_classes" });
        };
        self.check_new(&to, "transferred-class")?;
        change.named.push((to.clone(), "transferred-class"));
        change.sources.push(from_script);
        self.now.push(ObjectClass { name: to, ..class });
        Ok(())
    }

    fn position(&self, class: &str, field: &'static str) -> Result<usize, WorkersError> {
        let position = self.now.iter().position(|known| known.name == class);
        position.ok_or_else(|| WorkersError::ClassMissing { class: class.to_owned(), migration: field })
    }

    fn check_new(&self, class: &str, migration: &'static str) -> Result<(), WorkersError> {
        if class.is_empty() || CLASS_NAME_BYTES_MAX < class.len() {
            let message = format!("the name of a Durable Object class has 1 to {CLASS_NAME_BYTES_MAX} bytes");
            return Err(WorkersError::Rejected(message));
        }
        if self.has(class) {
            return Err(WorkersError::ClassTaken { class: class.to_owned(), migration });
        }
        Ok(())
    }

    /// Whether there is such a class.
    pub(crate) fn has(&self, class: &str) -> bool {
        self.now.iter().any(|known| known.name == class)
    }

    /// Whether a binding may name this class.
    pub(crate) fn check_bound(&self, class: &str) -> Result<(), WorkersError> {
        if self.has(class) {
            return Ok(());
        }
        let class = class.to_owned();
        Err(match &self.change {
            Some(change) if change.deleted.contains(&class) => WorkersError::ClassStillBound(class),
            Some(_) | None => WorkersError::ClassUnknown(class),
        })
    }

    /// These, if the code exports all of them, given those that it was found not to.
    pub(crate) fn exported(self, missing: &[String]) -> Result<Self, WorkersError> {
        let named = self.change.iter().flat_map(|change| &change.named);
        for (class, migration) in named {
            if missing.contains(class) {
                return Err(WorkersError::ClassNotExported { class: class.clone(), migration });
            }
        }
        match missing.first() {
            Some(class) => Err(WorkersError::ClassDependedOn(class.clone())),
            None => Ok(self),
        }
    }
}

/// Whether a version that was tried earlier may run the objects that there are now.
pub(crate) fn check_deployable(version: &Version, now: &[ObjectClass]) -> Result<(), WorkersError> {
    let manifest = &version.manifest;
    for class in now {
        if !manifest.has_class(&class.name) {
            return Err(WorkersError::ClassDependedOn(class.name.clone()));
        }
    }
    for binding in &manifest.bindings {
        let is_own = binding["type"] == "durable_object_namespace" && binding.get("script_name").is_none();
        let class = binding["class_name"].as_str().filter(|_| is_own);
        if let Some(class) = class.filter(|class| now.iter().all(|known| known.name != *class)) {
            return Err(WorkersError::ClassUnknown(class.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{ObjectClass, ObjectNamespaceId};
    use serde_json::{Value, json};

    use super::{Classes, Migrations};

    fn migrate(before: &[ObjectClass], tag: Option<&str>, migrations: Value) -> Result<Classes, String> {
        let migrations = Migrations::deserialize_value(migrations);
        let sources = [("a".parse().unwrap(), vec![class("A"), class("B")])].into();
        Classes::migrate(before.to_vec(), tag, migrations, sources).map_err(|error| error.to_string())
    }

    fn class(name: &str) -> ObjectClass {
        let namespace = ObjectNamespaceId::random();
        ObjectClass { namespace, name: name.to_owned(), has_sql: name == "B" }
    }

    impl Migrations {
        fn deserialize_value(value: Value) -> Self {
            serde_json::from_value(value).unwrap()
        }
    }

    #[test]
    fn steps_are_done_in_their_order_and_a_rename_keeps_the_namespace() {
        let first = json!({"new_tag": "v1", "steps": [{"new_classes": ["A"], "new_sqlite_classes": ["B"]}]});
        let first = migrate(&[], None, first).unwrap().now;
        assert_eq!(first.iter().map(|class| class.has_sql).collect::<Vec<_>>(), [false, true]);
        let later = json!({"old_tag": "v1", "new_tag": "v3", "steps": [
            {"renamed_classes": [{"from": "B", "to": "C"}]},
            {"deleted_classes": ["A"], "new_sqlite_classes": ["B"]},
        ]});
        let later = migrate(&first, Some("v1"), later).unwrap();
        assert_eq!(later.now.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["C", "B"]);
        assert_eq!(later.now[0].namespace, first[1].namespace);
        assert_ne!(later.now[1].namespace, first[1].namespace);
        assert_eq!(later.change.unwrap().deleted, ["A"]);
    }

    #[test]
    fn a_class_comes_from_another_worker_once_and_as_it_is() {
        let transfer = |from: &str, to: &str| json!({"from": from, "from_script": "a", "to": to});
        let migrations = |transfers: &[Value]| json!({"new_tag": "v1", "transferred_classes": transfers});
        let taken = migrate(&[], None, migrations(&[transfer("A", "C"), transfer("B", "A")])).unwrap();
        let names: Vec<_> = taken.now.iter().map(|class| (class.name.as_str(), class.has_sql)).collect();
        assert_eq!(names, [("C", false), ("A", true)]);
        let refused = |transfers: &[Value]| migrate(&[], None, migrations(transfers)).unwrap_err();
        assert!(
            refused(&[transfer("A", "C"), transfer("A", "D")])
                .contains("non-existent class 'A' of Worker 'a'")
        );
        assert!(refused(&[transfer("A", "C"), transfer("B", "C")]).contains("already depended on"));
        let elsewhere = json!({"from": "A", "from_script": "b", "to": "A"});
        assert!(refused(&[elsewhere]).contains("non-existent class 'A' of Worker 'b'"));
    }

    #[test]
    fn the_tag_must_be_the_one_that_there_is() {
        let migrations = |old: Value| json!({"old_tag": old, "new_tag": "v2", "new_classes": ["A"]});
        assert!(migrate(&[], None, migrations(Value::Null)).is_ok());
        assert!(migrate(&[], Some("v1"), migrations(json!("v1"))).is_ok());
        for (tag, old) in [(Some("v1"), Value::Null), (Some("v1"), json!("v0")), (None, json!("v1"))] {
            let refusal = migrate(&[], tag, migrations(old)).unwrap_err();
            assert!(refusal.starts_with("Migration tag precondition failed"), "{refusal}");
        }
    }
}
