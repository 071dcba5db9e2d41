//! The statements of a file of SQL, one after the other: read in pieces, so that a large file needs little memory, and run
//! without keeping what they answer.

use std::io::{self, Read};

use store::rusqlite::{Connection, limits::Limit};

use super::{Guard, Piece, begins_with, figures::rows_visited, next_statement, ours};
use crate::{
    error::SqlError,
    model::{PAGE_BYTES, SCRIPT_STATEMENT_BYTES_MAX, STATEMENT_BYTES_MAX},
    sql::Plans,
};

/// Least bytes read at a time.
const READ_BYTES_MIN: usize = 256 * 1024;

/// A file's statements.
#[derive(Debug)]
pub(crate) struct Script<R> {
    source: R,
    /// Text that was read; what lies before `start` is done with.
    text: String,
    start: usize,
    /// A character of which only the beginning was read.
    tail: Vec<u8>,
    is_whole: bool,
    /// Lines before `start`.
    lines: u64,
}

/// One statement and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScriptStatement {
    pub(crate) sql: String,
    /// The line that it begins in, from 1.
    pub(crate) line: u64,
}

/// Why a file's statements cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error("line {0} is not UTF-8 text")]
    NotText(u64),
    #[error("the statement that begins in line {0} is longer than {SCRIPT_STATEMENT_BYTES_MAX} bytes")]
    TooLong(u64),
    #[error("read the uploaded file: {0}")]
    Read(#[from] io::Error),
}

impl<R: Read> Script<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, text: String::new(), start: 0, tail: Vec::new(), is_whole: false, lines: 0 }
    }

    /// The next statement; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<ScriptStatement>, ScriptError> {
        loop {
            let left = &self.text[self.start..];
            match next_statement(left, self.is_whole) {
                Some(Piece::Nothing) => return Ok(None),
                Some(Piece::Statement(statement, rest)) => {
                    let before = left.len() - rest.len() - statement.len();
                    let blank = before + statement.len() - statement.trim_start().len();
                    let line = self.lines + count_lines(&left[..blank]) + 1;
                    let sql = statement.trim().to_owned();
                    let done = left.len() - rest.len();
                    self.lines += count_lines(&left[..done]);
                    self.start += done;
                    if SCRIPT_STATEMENT_BYTES_MAX < sql.len() {
                        return Err(ScriptError::TooLong(line));
                    }
                    return Ok(Some(ScriptStatement { sql, line }));
                }
                // Some room for the comments in front of the longest statement.
                None if 2 * SCRIPT_STATEMENT_BYTES_MAX < left.len() => {
                    return Err(ScriptError::TooLong(self.lines + 1));
                }
                None => self.read_more()?,
            }
        }
    }

    /// Reads as much again as is there, so that a long statement is not looked at too often.
    fn read_more(&mut self) -> Result<(), ScriptError> {
        self.text.drain(..std::mem::take(&mut self.start));
        let wanted = self.text.len().max(READ_BYTES_MIN);
        let mut bytes = std::mem::take(&mut self.tail);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        self.is_whole = self.source.by_ref().take(wanted).read_to_end(&mut bytes)? == 0;
        let not_text = |script: &Self| ScriptError::NotText(script.lines + count_lines(&script.text) + 1);
        match str::from_utf8(&bytes) {
            Ok(text) => self.text.push_str(text),
            Err(error) => {
                let (text, tail) = bytes.split_at(error.valid_up_to());
                self.text.push_str(str::from_utf8(text).expect("it was found valid up to here"));
                if error.error_len().is_some() || self.is_whole {
                    return Err(not_text(self));
                }
                self.tail = tail.to_vec();
            }
        }
        Ok(())
    }
}

fn count_lines(text: &str) -> u64 {
    text.bytes().map(|byte| u64::from(byte == b'\n')).sum()
}

/// What statements did in sum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) statements: u64,
    pub(crate) changes: u64,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    /// The schema's number after the last statement that may have changed it.
    schema: Option<u64>,
}

/// Runs statements longer than a request's may be: a row of an export is one.
pub(crate) fn with_long_statements<T>(connection: &Connection, work: impl FnOnce() -> T) -> T {
    let set = |bytes: usize| {
        // It cannot fail but for a limit that does not exist.
        let _ =
            connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, i32::try_from(bytes).unwrap_or(i32::MAX));
    };
    set(SCRIPT_STATEMENT_BYTES_MAX);
    let result = work();
    set(STATEMENT_BYTES_MAX);
    result
}

/// Runs one statement to its end, adds what it did to `sums`, and lets its rows go.
pub(crate) fn execute(
    connection: &Connection,
    guard: &Guard,
    plans: &mut Plans,
    sql: &str,
    sums: &mut Sums,
) -> Result<(), SqlError> {
    let explain = |error| guard.explain(error);
    let before = connection.total_changes();
    let mut statement = connection.prepare(sql).map_err(explain)?;
    if statement.parameter_count() != 0 {
        return Err(SqlError::WrongParameters);
    }
    let may_change_schema = !statement.readonly() && !is_insert(sql);
    let schema = || guard.ours(|| ours::ask(connection, ours::SCHEMA_VERSION)).map_err(explain);
    if may_change_schema && sums.schema.is_none() {
        sums.schema = Some(schema()?);
    }
    let mut rows = statement.raw_query();
    while rows.next().map_err(explain)?.is_some() {}
    drop(rows);
    sums.rows_read += rows_visited(connection, sql);
    drop(statement);
    let changes = connection.total_changes() - before;
    if may_change_schema {
        let schema = schema()?;
        if sums.schema.replace(schema) != Some(schema) {
            plans.forget();
            // A new schema is at least a row of its own.
            sums.rows_written += 1;
        }
    }
    sums.rows_written += guard.ours(|| plans.rows_written_like(connection, head_of(sql), sql, changes));
    sums.changes += changes;
    sums.statements += 1;
    Ok(())
}

/// Bytes of the whole database.
pub(crate) fn database_bytes(connection: &Connection) -> store::rusqlite::Result<u64> {
    Ok(ours::ask(connection, ours::PAGE_COUNT)? * PAGE_BYTES)
}

/// What the plan of an INSERT depends on: the text before its values. All rows of an export share it.
fn head_of(sql: &str) -> &str {
    let values = || sql.as_bytes().windows(8).position(|part| part[0] == b' ' && is_values(&part[1..]));
    match is_insert(sql).then(values).flatten() {
        Some(end) => &sql[..end],
        None => sql,
    }
}

fn is_insert(sql: &str) -> bool {
    begins_with(sql, &["insert"])
}

/// `VALUES` and a space or bracket.
fn is_values(part: &[u8]) -> bool {
    part[..6].eq_ignore_ascii_case(b"values") && matches!(part[6], b' ' | b'(')
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{Script, ScriptError, head_of};
    use crate::model::SCRIPT_STATEMENT_BYTES_MAX;

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let (now, later) = self.0.split_at(out.len().min(3).min(self.0.len()));
            out[..now.len()].copy_from_slice(now);
            self.0 = later;
            Ok(now.len())
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, u64)>, ScriptError> {
        let mut script = Script::new(Drip(bytes));
        let mut all = Vec::new();
        while let Some(statement) = script.next()? {
            all.push((statement.sql, statement.line));
        }
        Ok(all)
    }

    #[test]
    fn statements_come_with_the_lines_they_begin_in() {
        let text = "-- first\nselect 'ä;\n';\n\n  insert into t\nvalues (1) ; ;select 3 -- end";
        let expected = [
            ("-- first\nselect 'ä;\n';".to_owned(), 1),
            ("insert into t\nvalues (1) ;".to_owned(), 5),
            ("select 3 -- end".to_owned(), 6),
        ];
        assert_eq!(read(text.as_bytes()).expect("text"), expected);
        assert!(read(b" -- nothing\n ;").expect("text").is_empty());
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_refused_in_bounded_memory() {
        assert!(matches!(read(b"select 1;\nselect '\xff';"), Err(ScriptError::NotText(2))));
        assert!(matches!(read(b"select 'cut \xc3"), Err(ScriptError::NotText(1))));
        let endless = io::repeat(b'x').take(1 << 40);
        let mut script = Script::new(b"select '".chain(endless));
        assert!(matches!(script.next(), Err(ScriptError::TooLong(1))));
        assert!(script.text.len() < 8 * SCRIPT_STATEMENT_BYTES_MAX);
    }

    #[test]
    fn rows_of_one_table_share_a_plan() {
        assert_eq!(head_of("INSERT INTO \"t\" (\"a\") VALUES(1);"), "INSERT INTO \"t\" (\"a\")");
        for whole in ["insert into values_of select 1", "update t set a = 'x values (1)'"] {
            assert_eq!(head_of(whole), whole);
        }
    }
}
