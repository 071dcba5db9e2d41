//! What rooms may rely on: an acknowledged write is on disk, a failed one leaves nothing, errors say what to do, and
//! sealed values open only with their key and purpose.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its tests do")]

mod crash;
mod database;
mod files;
mod vault;

use std::path::Path;

use store::{Database, Migration, Options, StoreError};

const MIGRATIONS: &[Migration] = &[Migration {
    name: "2026-11-21-init",
    sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB) STRICT",
}];

fn open(path: &Path) -> Database {
    Database::open(path, MIGRATIONS, Options::default()).unwrap()
}

async fn put(database: &Database, id: i64) -> Result<(), StoreError> {
    database
        .write(move |connection| {
            connection.prepare_cached("INSERT INTO item (id) VALUES (?1)")?.execute([id])?;
            Ok(())
        })
        .await
}

fn ids(database: &Database) -> Vec<i64> {
    database
        .read_now(|connection| -> Result<_, StoreError> {
            let mut select = connection.prepare_cached("SELECT id FROM item ORDER BY id")?;
            Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .unwrap()
}
