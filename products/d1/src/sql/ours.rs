//! The statements that we run ourselves on a person's connection. SQLite asks whether a statement is allowed when it compiles
//! it, and compiled statements are kept by their text: so the texts of ours must be none that a person can send.

use store::rusqlite::{self, Connection};

macro_rules! ours {
    ($sql:literal) => {
        concat!("/*ours*/", $sql)
    };
}

/// How all of ours begin.
const MARK: &str = ours!("");

pub(crate) const BEGIN_READ: &str = ours!("BEGIN");
pub(crate) const BEGIN_WRITE: &str = ours!("BEGIN IMMEDIATE");
pub(crate) const COMMIT: &str = ours!("COMMIT");
pub(crate) const ROLLBACK: &str = ours!("ROLLBACK");
/// Changes nothing, and is over at once.
pub(crate) const LOOK: &str = ours!("PRAGMA page_count");
pub(super) const PAGE_COUNT: &str = ours!("PRAGMA page_count");
pub(super) const SCHEMA_VERSION: &str = ours!("PRAGMA schema_version");

/// The number that one of these pragmas answers.
pub(super) fn ask(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// A person's statement as it is compiled and kept: it says the same, and is none of ours.
pub(super) fn theirs(sql: &str) -> &str {
    let mut sql = sql.trim();
    while let Some(rest) = sql.strip_prefix(MARK) {
        sql = rest.trim_start();
    }
    sql
}
