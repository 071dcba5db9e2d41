//! The tables of Durable Object namespaces.

use model::{
    Binding, BindingKind, ObjectClass, ObjectNamespaceId, ObjectTarget, Objects, ObjectsRole, ScriptName,
    ScriptTag, VersionId,
};
use serde_json::Value;
use store::rusqlite::{Connection, params};

use super::rows::{deployments, parsed, script};
use crate::{
    binding::describe,
    classes::Classes,
    error::WorkersError,
    exports::Hint,
    model::{Deployment, Manifest},
};

/// A namespace of Durable Objects, and whose it is.
#[derive(Debug, Clone)]
pub struct ObjectNamespace {
    /// The namespace and its class.
    pub class: ObjectClass,
    /// The Worker that implements it.
    pub script: ScriptName,
    /// That Worker's other name, under which the objects are kept.
    pub home: ScriptTag,
}

/// The classes of one script, in the order in which they came.
pub(super) fn classes(db: &Connection, script: &str) -> Result<Vec<ObjectClass>, WorkersError> {
    let mut statement = db.prepare_cached(
        "SELECT id, class, has_sql FROM workers_object_namespaces WHERE script = ?1 ORDER BY rowid",
    )?;
    let mut rows = statement.query([script])?;
    let mut classes = Vec::new();
    while let Some(row) = rows.next()? {
        let namespace: ObjectNamespaceId = parsed(&row.get::<_, String>(0)?, "Durable Object namespace")?;
        classes.push(ObjectClass { namespace, name: row.get(1)?, has_sql: row.get(2)? });
    }
    Ok(classes)
}

/// The Durable Objects of a script, as a version of it sees them.
pub(super) fn of_version(
    db: &Connection,
    name: &ScriptName,
    id: VersionId,
) -> Result<Option<Objects>, WorkersError> {
    let classes = classes(db, name.as_str())?;
    if classes.is_empty() {
        return Ok(None);
    }
    let script = script(db, "name", name.as_str())?.ok_or(WorkersError::Damaged("script"))?;
    let active = deployments(db, name.as_str(), 1)?.pop();
    let role = match active {
        Some(active) if owner(db, &active)? == Some(id) => ObjectsRole::Owner,
        Some(active) if active.versions.iter().any(|portion| portion.version_id == id) => ObjectsRole::Guest,
        Some(_) | None => ObjectsRole::Replaced,
    };
    Ok(Some(Objects { home: parsed(&script.tag, "script tag")?, classes, role }))
}

/// The version that runs the Durable Objects of a deployment: the one with the largest share, of equal ones the newest.
pub(super) fn owner(db: &Connection, deployment: &Deployment) -> Result<Option<VersionId>, WorkersError> {
    let mut number = db.prepare_cached("SELECT number FROM workers_versions WHERE id = ?1")?;
    let mut largest: Option<(f64, u64, VersionId)> = None;
    for portion in &deployment.versions {
        let number = number.query_row([portion.version_id.to_string()], |row| row.get(0))?;
        let (percentage, version) = (portion.percentage, portion.version_id);
        if largest.is_none_or(|(share, newest, _)| (share, newest) < (percentage, number)) {
            largest = Some((percentage, number, version));
        }
    }
    Ok(largest.map(|(_, _, version)| version))
}

/// Says of each binding to its own Worker's objects which namespace it is, for a version whose process does not run them.
pub(super) fn bind_elsewhere(bindings: &mut [Binding], objects: &Objects) {
    for binding in bindings {
        if let BindingKind::ObjectClass(ObjectTarget { script: None, class, namespace }) = &mut binding.kind {
            let known = objects.classes.iter().find(|known| known.name == *class);
            *namespace = known.map(|known| known.namespace.clone());
        }
    }
}

/// The namespaces of all scripts.
pub(super) fn namespaces(db: &Connection) -> Result<Vec<ObjectNamespace>, WorkersError> {
    let mut statement = db.prepare_cached(
        "SELECT id, class, has_sql, script, tag FROM workers_object_namespaces \
         JOIN workers_scripts ON name = script ORDER BY script, workers_object_namespaces.rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut namespaces = Vec::new();
    while let Some(row) = rows.next()? {
        let namespace: ObjectNamespaceId = parsed(&row.get::<_, String>(0)?, "Durable Object namespace")?;
        namespaces.push(ObjectNamespace {
            class: ObjectClass { namespace, name: row.get(1)?, has_sql: row.get(2)? },
            script: parsed(&row.get::<_, String>(3)?, "script name")?,
            home: parsed(&row.get::<_, String>(4)?, "script tag")?,
        });
    }
    Ok(namespaces)
}

/// The transfers in which a script is source or target.
pub(super) fn hints(db: &Connection, script: &str) -> Result<Vec<Hint>, WorkersError> {
    let mut statement = db.prepare_cached(
        "SELECT target, class, source, is_committed FROM workers_object_transfers WHERE ?1 IN (target, source)",
    )?;
    let mut rows = statement.query([script])?;
    let mut hints = Vec::new();
    while let Some(row) = rows.next()? {
        hints.push(Hint {
            target: parsed(&row.get::<_, String>(0)?, "script name")?,
            class: row.get(1)?,
            source: parsed(&row.get::<_, String>(2)?, "script name")?,
            is_committed: row.get(3)?,
        });
    }
    Ok(hints)
}

/// Writes what migrations or declared exports have made of a script's classes.
pub(super) fn write_classes(
    db: &Connection,
    script: &str,
    classes: &Classes,
    now_ms: u64,
) -> Result<(), WorkersError> {
    let Some(change) = &classes.change else { return Ok(()) };
    let before = namespaces(db)?;
    if let Some(tag) = &change.tag {
        db.execute("UPDATE workers_scripts SET migration_tag = ?2 WHERE name = ?1", params![script, tag])?;
    }
    for (namespace, target, class) in &change.given {
        let values = params![namespace.as_str(), target.as_str(), class];
        db.execute("UPDATE workers_object_namespaces SET script = ?2, class = ?3 WHERE id = ?1", values)?;
        let sql = "UPDATE workers_object_transfers SET is_committed = TRUE WHERE target = ?1 AND class = ?2";
        db.execute(sql, params![target.as_str(), class])?;
    }
    for class in &change.forgotten {
        let sql = "DELETE FROM workers_object_transfers WHERE target = ?1 AND class = ?2";
        db.execute(sql, params![script, class])?;
    }
    for (class, source) in &change.expected {
        let sql = "INSERT OR REPLACE INTO workers_object_transfers VALUES (?1, ?2, ?3, FALSE)";
        db.execute(sql, params![script, class, source.as_str()])?;
    }
    for known in self::classes(db, script)? {
        if classes.now.iter().all(|class| class.namespace != known.namespace) {
            let sql = "DELETE FROM workers_object_namespaces WHERE id = ?1";
            db.execute(sql, [known.namespace.as_str()])?;
        } else {
            // Two classes may change their names with each other.
            let sql = "UPDATE workers_object_namespaces SET class = '/' || id WHERE id = ?1";
            db.execute(sql, [known.namespace.as_str()])?;
        }
    }
    for class in &classes.now {
        db.execute(
            "INSERT INTO workers_object_namespaces (id, script, class, has_sql, created_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET script = excluded.script, class = excluded.class",
            params![class.namespace.as_str(), script, class.name, class.has_sql, now_ms],
        )?;
    }
    forward_bindings(db, &before, &namespaces(db)?)
}

/// Makes bindings, in all versions, follow the classes that have got another name or another Worker.
fn forward_bindings(
    db: &Connection,
    before: &[ObjectNamespace],
    now: &[ObjectNamespace],
) -> Result<(), WorkersError> {
    let mut naming = db.prepare_cached(
        "SELECT id, script, manifest FROM workers_versions WHERE script = ?1 OR instr(manifest, ?2)",
    )?;
    let mut update = db.prepare_cached("UPDATE workers_versions SET manifest = ?2 WHERE id = ?1")?;
    for new in now {
        let id = new.class.namespace.as_str();
        let old = before.iter().find(|old| old.class.namespace == new.class.namespace);
        let Some(old) = old.filter(|old| old.script != new.script || old.class.name != new.class.name) else {
            continue;
        };
        let rows =
            naming.query_map([old.script.as_str(), id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for row in rows.collect::<Result<Vec<(String, String, String)>, _>>()? {
            let (version, script, text) = row;
            let damaged = |_cause| WorkersError::Damaged("manifest");
            let mut manifest: Manifest = serde_json::from_str(&text).map_err(damaged)?;
            for binding in &mut manifest.bindings {
                forward(binding, &script, old, new);
            }
            let text = serde_json::to_string(&manifest).map_err(damaged)?;
            update.execute([version, text])?;
        }
    }
    Ok(())
}

/// A binding of a script to the class that was `old` and is `new`. One that names its Worker has the namespace's id. One to
/// the script's own class of the old name is that class only if it has left the script: else no version is deployed that
/// does not know the new name.
fn forward(binding: &mut Value, script: &str, old: &ObjectNamespace, new: &ObjectNamespace) {
    let has_left = script == old.script.as_str() && old.script != new.script;
    let was_own = binding["type"] == "durable_object_namespace"
        && binding.get("script_name").is_none()
        && binding["class_name"] == old.class.name.as_str();
    if !(binding["namespace_id"] == new.class.namespace.as_str() || (has_left && was_own)) {
        return;
    }
    let is_elsewhere = script != new.script.as_str();
    let target = ObjectTarget {
        script: is_elsewhere.then(|| new.script.clone()),
        class: new.class.name.clone(),
        namespace: is_elsewhere.then(|| new.class.namespace.clone()),
    };
    let name = binding["name"].as_str().unwrap_or_default().to_owned();
    *binding = describe(&Binding { name, kind: BindingKind::ObjectClass(target) });
}
