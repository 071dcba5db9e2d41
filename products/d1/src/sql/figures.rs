//! How many rows a statement read and wrote, which Cloudflare bills and people watch. SQLite counts the rows that each loop
//! of a plan visits; what is written follows from the rows changed and the entries that the plan makes for each.

use std::{
    collections::HashMap,
    ffi::{CStr, c_int},
    ptr,
};

use store::rusqlite::{self, Connection, ffi};

/// Plans remembered by a connection; all are forgotten when there are more.
const PLANS_MAX: usize = 256;

/// What a connection knows of the plans of its statements.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// By a statement's text: entries written for each row that it changes.
    entries_per_row: HashMap<String, u64>,
}

impl Plans {
    /// Entries that were written, in tables and their indexes, by a statement that changed some rows.
    pub(super) fn rows_written(&mut self, connection: &Connection, sql: &str, changes: u64) -> u64 {
        self.rows_written_like(connection, sql, sql, changes)
    }

    /// The same for statements whose plans differ only if their `kinds` do.
    pub(super) fn rows_written_like(
        &mut self,
        connection: &Connection,
        kind: &str,
        sql: &str,
        changes: u64,
    ) -> u64 {
        if changes == 0 {
            return 0;
        }
        if let Some(entries) = self.entries_per_row.get(kind) {
            return changes * entries;
        }
        // The statement was just run, so its plan can be read.
        let entries = entries_per_row(connection, sql).unwrap_or(1).max(1);
        if PLANS_MAX <= self.entries_per_row.len() {
            self.entries_per_row.clear();
        }
        self.entries_per_row.insert(kind.to_owned(), entries);
        changes * entries
    }

    /// After the schema changed.
    pub(super) fn forget(&mut self) {
        self.entries_per_row.clear();
    }
}

/// Counts the instructions that write an entry; each runs once for each row.
fn entries_per_row(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let mut explain = connection.prepare(&format!("EXPLAIN {sql}"))?;
    let mut rows = explain.raw_query();
    let mut entries = 0;
    while let Some(row) = rows.next()? {
        let opcode = row.get_ref(1)?.as_str().unwrap_or_default();
        // Entries of temporary indexes and sorters have instructions of other names.
        entries += u64::from(matches!(opcode, "Insert" | "IdxInsert"));
        // A constraint that fails halts too, with its code.
        let is_end = opcode == "Halt" && row.get::<_, i64>(2)? == 0;
        if is_end {
            break;
        }
    }
    Ok(entries)
}

/// The rows that the loops of a statement visited since the last time it was asked for; the statement is found by its text
/// among those of the connection.
#[expect(unsafe_code, reason = "the crate has no safe way to these counters")]
pub(super) fn rows_visited(connection: &Connection, sql: &str) -> u64 {
    let mut visited = 0;
    // SAFETY: the handle is that of an open connection, which no other thread uses (it is not `Sync`) and which outlives
    // this call. Statements are finalised through it alone, so each pointer that it gives is valid until then; their text
    // is a string of SQLite's own. The counter is written to a variable of the type that SQLITE_SCANSTAT_NVISIT asks for.
    unsafe {
        let handle = connection.handle();
        let mut statement = ffi::sqlite3_next_stmt(handle, ptr::null_mut());
        while !statement.is_null() {
            let text = ffi::sqlite3_sql(statement);
            if !text.is_null() && CStr::from_ptr(text).to_bytes() == sql.as_bytes() {
                let (mut count, mut index): (i64, c_int) = (0, 0);
                let out = ptr::from_mut(&mut count).cast();
                while ffi::sqlite3_stmt_scanstatus(statement, index, ffi::SQLITE_SCANSTAT_NVISIT, out) == 0 {
                    visited += u64::try_from(count).unwrap_or(0);
                    index += 1;
                }
                ffi::sqlite3_stmt_scanstatus_reset(statement);
                // There is one with this text.
                break;
            }
            statement = ffi::sqlite3_next_stmt(handle, statement);
        }
    }
    visited
}
