//! Bringing a file to its newest shape. What the shapes are is each room's own.

use std::{collections::HashSet, path::Path};

use rusqlite::{Connection, TransactionBehavior};

use crate::{StoreError, error::Failure};

/// One step of a file's history, applied once and never edited after a release.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Dated name, for example `2026-11-21-init`.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Applies what the file does not have yet: all of it or nothing.
pub(crate) fn apply(
    connection: &mut Connection,
    file: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite("migrate", file, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (
                 name TEXT PRIMARY KEY,
                 applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
             ) STRICT",
        )
        .map_err(failed)?;
    let applied = applied(&transaction).map_err(failed)?;
    if let Some(unknown) = applied.iter().find(|name| migrations.iter().all(|known| known.name != **name)) {
        let cause = format!("its migration `{unknown}` is not known");
        return Err(StoreError::Newer(Failure { tried: "open", file: file.to_owned(), cause }));
    }
    for migration in migrations.iter().filter(|migration| !applied.contains(migration.name)) {
        transaction.execute_batch(migration.sql).map_err(failed)?;
        transaction.execute("INSERT INTO migration (name) VALUES (?1)", [migration.name]).map_err(failed)?;
        tracing::debug!(file = %file.display(), migration = migration.name, "Applied a migration");
    }
    transaction.commit().map_err(failed)
}

fn applied(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    connection.prepare("SELECT name FROM migration")?.query_map([], |row| row.get(0))?.collect()
}
