//! The tables of Durable Object namespaces.

use model::{ObjectClass, ObjectNamespaceId, ScriptName, ScriptTag};
use store::rusqlite::{Connection, params};

use super::rows::parsed;
use crate::{classes::Classes, error::WorkersError, exports::Hint};

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
    Ok(())
}
