//! Reads what workerd keeps of the objects: one SQLite file each, and one for the alarms of a namespace. Nothing here writes;
//! a process may use the same files meanwhile. Copies are written elsewhere. The only part with SQL.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use store::rusqlite::{
    self, Connection, OpenFlags, OptionalExtension,
    backup::{Backup, StepResult},
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};
use tasks::Clock;

use crate::{
    error::ObjectsError,
    model::{ANSWER_BYTES_MAX, ObjectId, QUERY_TIMEOUT, ROWS_MAX, SHOWN_MAX},
};

/// workerd's file with the pending alarms of a namespace.
pub(crate) const ALARMS_FILE: &str = "metadata.sqlite";
/// Nanoseconds in a millisecond: workerd keeps the former.
const MS: u64 = 1_000_000;
/// A process that commits holds its file for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to copy.
const COPY_PAUSE: Duration = Duration::from_millis(5);
/// How many steps of SQLite pass between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Tables of workerd's own begin so.
const OWN_TABLES: &str = "_cf_";

/// When the earliest alarm of a namespace is due, in milliseconds since 1970.
pub(crate) fn next_alarm_ms(namespace: &Path) -> rusqlite::Result<Option<u64>> {
    let file = namespace.join(ALARMS_FILE);
    if !file.exists() {
        return Ok(None);
    }
    let alarms = open(&file)?;
    if !has_table(&alarms, "_cf_ALARM")? {
        return Ok(None);
    }
    let sql = "SELECT min(scheduled_time) FROM _cf_ALARM";
    let next: Option<i64> = alarms.query_row(sql, [], |row| row.get(0))?;
    Ok(next.map(alarm_ms))
}

/// Rounded up: woken a moment early, workerd would wait for it, but so would nobody.
fn alarm_ms(scheduled_ns: i64) -> u64 {
    u64::try_from(scheduled_ns).unwrap_or_default().div_ceil(MS)
}

/// The ids of a namespace's objects in order, after `cursor`; at most `limit`, and whether there are more.
pub(crate) fn objects(
    namespace: &Path,
    cursor: Option<&ObjectId>,
    limit: usize,
) -> io::Result<(Vec<ObjectId>, bool)> {
    let files = match std::fs::read_dir(namespace) {
        Ok(files) => files,
        // No process has run it yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        Err(error) => return Err(error),
    };
    // The smallest ones are kept while the folder is read.
    let mut smallest = BTreeSet::new();
    for file in files {
        let name = file?.file_name();
        let id = name.to_str().and_then(|name| ObjectId::parse(name.strip_suffix(".sqlite")?));
        if let Some(id) = id.filter(|id| cursor.is_none_or(|cursor| cursor < id)) {
            smallest.insert(id);
            if limit + 1 < smallest.len() {
                smallest.pop_last();
            }
        }
    }
    let has_more = limit < smallest.len();
    Ok((smallest.into_iter().take(limit).collect(), has_more))
}

/// Whether anything is stored for an object, as far as its files tell.
pub(crate) fn has_stored_data(namespace: &Path, id: &ObjectId) -> bool {
    let bytes = |suffix: &str| {
        let file = namespace.join(format!("{}.sqlite{suffix}", id.as_str()));
        std::fs::metadata(file).map_or(0, |file| file.len())
    };
    0 < bytes("") || 0 < bytes("-wal")
}

/// Copies a database as it is at one moment, while others read and write it, into a file that needs no other beside it.
/// `None`: there is nothing in it.
pub(crate) fn copy(from: &Path, to: &Path) -> rusqlite::Result<Option<Connection>> {
    let source = open(from)?;
    let mut copy = Connection::open(to)?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(&source, &mut copy)?;
    while backup.step(-1)? != StepResult::Done {
        // Somebody commits: that takes a moment.
        std::thread::sleep(COPY_PAUSE);
    }
    drop(backup);
    // The copy says that it has a log beside it; without one it is whole in itself.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let pages: u64 = copy.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    Ok((0 < pages).then_some(copy))
}

/// Makes the alarm of an object in the copy of a namespace's alarms the one that the copy of the object says: the two were not
/// made at one moment.
pub(crate) fn align_alarm(alarms: &Connection, id: &ObjectId, object: &Connection) -> rusqlite::Result<()> {
    let due: Option<i64> = if has_table(object, "_cf_METADATA")? {
        // The key under which workerd keeps the alarm (seen with 2026-11-17).
        let sql = "SELECT value FROM _cf_METADATA WHERE key = 1";
        object.query_row(sql, [], |row| row.get(0)).optional()?.flatten()
    } else {
        None
    };
    match due {
        Some(due) => alarms.execute(
            "INSERT INTO _cf_ALARM (actor_id, scheduled_time) VALUES (?1, ?2) \
             ON CONFLICT (actor_id) DO UPDATE SET scheduled_time = excluded.scheduled_time",
            (id.as_str(), due),
        ),
        None => alarms.execute("DELETE FROM _cf_ALARM WHERE actor_id = ?1", [id.as_str()]),
    }
    .map(drop)
}

/// Copies a namespace's alarms; `None` if none was ever set.
pub(crate) fn copy_alarms(namespace: &Path, to: &Path) -> rusqlite::Result<Option<Connection>> {
    let file = namespace.join(ALARMS_FILE);
    if !file.exists() {
        return Ok(None);
    }
    match copy(&file, to)? {
        Some(alarms) if has_table(&alarms, "_cf_ALARM")? => Ok(Some(alarms)),
        Some(_) | None => Ok(None),
    }
}

/// What there is of one object.
#[derive(Debug, Serialize)]
pub(crate) struct Inside {
    id: String,
    /// Its pending alarm, in milliseconds since 1970.
    alarm: Option<u64>,
    /// Bytes of the database.
    database_size: u64,
    tables: Vec<Table>,
    /// Keys of the key-value API, with the bytes of their values.
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    rows: u64,
    sql: String,
}

#[derive(Debug, Serialize)]
struct Key {
    key: String,
    bytes: u64,
}

/// Looks into an object.
pub(crate) fn inspect(namespace: &Path, id: &ObjectId) -> Result<Inside, ObjectsError> {
    let object = open_object(namespace, id)?;
    let count = |sql: &str| object.query_row(sql, [], |row| row.get::<_, u64>(0));
    let database_size = count("PRAGMA page_count")?.saturating_mul(count("PRAGMA page_size")?);
    let mut statement = object.prepare(
        "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name LIMIT ?1",
    )?;
    let mut rows = statement.query([SHOWN_MAX])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if name.starts_with(OWN_TABLES) {
            continue;
        }
        let rows = count(&format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\"")))?;
        tables.push(Table { name, rows, sql: row.get(1)? });
    }
    let (keys, alarm) = (keys(&object)?, alarm_of(namespace, id)?);
    Ok(Inside { id: id.as_str().to_owned(), alarm, database_size, tables, keys })
}

fn keys(object: &Connection) -> rusqlite::Result<Vec<Key>> {
    if !has_table(object, "_cf_KV")? {
        return Ok(Vec::new());
    }
    let mut statement = object.prepare("SELECT key, length(value) FROM _cf_KV ORDER BY key LIMIT ?1")?;
    let keys = statement.query_map([SHOWN_MAX], |row| Ok(Key { key: row.get(0)?, bytes: row.get(1)? }))?;
    keys.collect()
}

fn alarm_of(namespace: &Path, id: &ObjectId) -> rusqlite::Result<Option<u64>> {
    let file = namespace.join(ALARMS_FILE);
    if !file.exists() {
        return Ok(None);
    }
    let alarms = open(&file)?;
    if !has_table(&alarms, "_cf_ALARM")? {
        return Ok(None);
    }
    let mut statement = alarms.prepare("SELECT scheduled_time FROM _cf_ALARM WHERE actor_id = ?1")?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(|row| row.get(0).map(alarm_ms)).transpose()
}

/// The rows that a statement finds in an object's database.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// Whether there were more than an answer may hold.
    is_cut: bool,
}

/// Runs one statement that only reads.
pub(crate) fn query(
    namespace: &Path,
    id: &ObjectId,
    sql: &str,
    clock: &Clock,
) -> Result<Found, ObjectsError> {
    let mut object = open_object(namespace, id)?;
    let deadline = clock.monotonic() + QUERY_TIMEOUT;
    let clock = clock.clone();
    object.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || deadline < clock.monotonic()))?;
    object.authorizer(Some(only_reads))?;
    let refused = |error: rusqlite::Error| {
        ObjectsError::Query(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => {
                format!("it ran longer than {} s", QUERY_TIMEOUT.as_secs())
            }
            Some(_) | None => error.to_string(),
        })
    };
    let mut statement = object.prepare(sql).map_err(refused)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.raw_query();
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(refused)? {
        if ROWS_MAX <= found.len() || ANSWER_BYTES_MAX <= bytes {
            return Ok(Found { columns, rows: found, is_cut: true });
        }
        let mut values = Vec::with_capacity(columns.len());
        for index in 0..columns.len() {
            let value = row.get_ref(index).map_err(refused)?;
            bytes += value.as_bytes().map_or(size_of::<f64>(), <[u8]>::len);
            values.push(json_of(value));
        }
        found.push(values);
    }
    Ok(Found { columns, rows: found, is_cut: false })
}

/// A statement may read this database and nothing else: no other file, no writing, no setting.
fn only_reads(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_name, .. } if is_reading_pragma(pragma_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn is_reading_pragma(name: &str) -> bool {
    ["table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Blobs are arrays of byte values, as D1 writes them.
fn json_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => json!(bytes),
    }
}

fn open_object(namespace: &Path, id: &ObjectId) -> Result<Connection, ObjectsError> {
    let file: PathBuf = namespace.join(format!("{}.sqlite", id.as_str()));
    if !file.exists() {
        return Err(ObjectsError::ObjectMissing(id.as_str().to_owned()));
    }
    Ok(open(&file)?)
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn has_table(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    db.query_row(sql, [name], |row| row.get(0))
}
