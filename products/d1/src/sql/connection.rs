//! Opening a connection that a person's statements may be run on.

use std::path::Path;

use store::rusqlite::{self, Connection, OpenFlags, config::DbConfig, ffi, limits::Limit};
use tasks::Clock;

use super::{Guard, space};
use crate::model::{
    COLUMNS_MAX, DATABASE_PAGES_MAX, PARAMETERS_MAX, PATTERN_BYTES_MAX, STATEMENT_BYTES_MAX, VALUE_BYTES_MAX,
};

/// Prepared statements that a connection keeps.
const STATEMENTS_CACHED_MAX: usize = 64;

/// Memory for pages that a connection keeps, in KiB; what sorts and groups beyond it goes to temporary files (see [`space`]).
const CACHE_KIB: i32 = 2_000;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Opens a database's file; one that writes makes it.
pub(crate) fn open(file: &Path, access: Access, clock: Clock) -> rusqlite::Result<(Connection, Guard)> {
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    space::register()?;
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags_and_vfs(file, flags, space::NAME)?;
    // SQLite opens for reading what it may not write.
    if access == Access::Write && connection.is_readonly("main")? {
        let read_only = ffi::Error::new(ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(read_only, None));
    }
    configure(&connection)?;
    if access == Access::Write {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "max_page_count", DATABASE_PAGES_MAX)?;
    }
    limit(&connection)?;
    let guard = Guard::on(&mut connection, file, clock)?;
    Ok((connection, guard))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // The log is moved into the file by the one who archives it, and by nobody else.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A commit is synced by its writer, together with others; a checkpoint still syncs the log first.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "FILE")
}

/// What workerd sets too, so that a statement that is too much there is too much here.
fn limit(connection: &Connection) -> rusqlite::Result<()> {
    let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let limits = [
        (Limit::SQLITE_LIMIT_LENGTH, small(VALUE_BYTES_MAX)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, small(STATEMENT_BYTES_MAX)),
        (Limit::SQLITE_LIMIT_COLUMN, small(COLUMNS_MAX)),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, small(PATTERN_BYTES_MAX)),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, small(PARAMETERS_MAX)),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in limits {
        connection.set_limit(limit, value)?;
    }
    Ok(())
}
