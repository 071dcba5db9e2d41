//! Running the statements of one request and writing what they answer.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use store::rusqlite::{self, CachedStatement, Connection, Rows, Statement};
use tasks::Clock;

use super::{
    Caller, Guard, Piece, begins_with,
    figures::{Plans, rows_visited},
    guard::Stopped,
    next_statement, ours,
    script::database_bytes,
    values::{write, write_json},
};
use crate::{
    error::SqlError,
    model::{Format, Meta, Parameter, Query, RESULT_BYTES_MAX, Timings},
};

/// Who answers, as `meta.served_by` has it.
pub(crate) const SERVED_BY: &str = "skerry";

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) queries: Vec<Query>,
    pub(crate) format: Format,
    pub(crate) results: Results,
    pub(crate) caller: Caller,
}

/// What has a result of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Results {
    /// A query; of its statements the last one's.
    EachQuery,
    /// Each statement of each query.
    EachStatement,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    /// The results behind an opening bracket, each without its `meta` and what ends it.
    out: Vec<u8>,
    /// Where in `out` each result ends, and which of `ran` it is of.
    shown: Vec<(usize, usize)>,
    /// What each statement did.
    pub(crate) ran: Vec<Ran>,
}

impl Done {
    /// A JSON array of results, each `{"success", "results", "meta"}`. It is put together here and not where the statements
    /// ran, since others may wait for that connection.
    pub(crate) fn into_json(self) -> Vec<u8> {
        let Self { mut out, shown, ran } = self;
        // The last result is where it belongs; room is made for what comes behind the others.
        if let [others @ .., _] = &shown[..]
            && !others.is_empty()
        {
            let mut json = Vec::with_capacity(out.len() + shown.len() * META_BYTES);
            let mut begin = 0;
            for &(end, of) in others {
                json.extend_from_slice(&out[begin..end]);
                write_meta(&ran[of].meta, &mut json);
                json.push(b',');
                begin = end;
            }
            json.extend_from_slice(&out[begin..]);
            out = json;
        }
        if let Some(&(_, of)) = shown.last() {
            write_meta(&ran[of].meta, &mut out);
        }
        out.push(b']');
        out
    }
}

/// What one statement did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its text.
    pub(crate) sql: Arc<str>,
    pub(crate) meta: Meta,
    pub(crate) rows_returned: u64,
    pub(crate) is_reading: bool,
}

/// How running ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Done(Done),
    /// It is more than a quick read: nothing has happened yet.
    Elsewhere(Elsewhere),
}

/// What a request needs that was tried as a quick read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Time.
    SlowRead,
    /// The connection that writes.
    Writer,
}

/// Runs all statements on a connection whose transaction, if one is wanted, the caller has begun. `last_row` is the row
/// that the database's writer inserted last, for a connection that is not the writer itself.
pub(crate) fn run(
    connection: &Connection,
    guard: &Guard,
    plans: &mut Plans,
    work: &Work,
    clock: &Clock,
    last_row: Option<i64>,
) -> Result<Ending, SqlError> {
    let mut runner = Runner {
        only_reads: connection.is_readonly("main").unwrap_or(false),
        connection,
        guard,
        plans,
        clock,
        last_row,
        out: vec![b'['],
        shown: Vec::with_capacity(work.queries.len()),
        ran: Vec::with_capacity(work.queries.len()),
        last: None,
    };
    for query in work.queries.iter().filter(|query| !query.is_empty()) {
        if let Some(elsewhere) = runner.query(query, work)? {
            return Ok(Ending::Elsewhere(elsewhere));
        }
    }
    if runner.ran.is_empty() {
        return Err(SqlError::NoStatements);
    }
    runner.finish().map(Ending::Done)
}

struct Runner<'a> {
    connection: &'a Connection,
    only_reads: bool,
    guard: &'a Guard,
    plans: &'a mut Plans,
    clock: &'a Clock,
    last_row: Option<i64>,
    /// The results behind an opening bracket, each without its `meta` and what ends it.
    out: Vec<u8>,
    /// Where in `out` each result ends, and which of `ran` it is of.
    shown: Vec<(usize, usize)>,
    ran: Vec<Ran>,
    /// What ran last, since a batch is mostly one statement again and again.
    last: Option<Compiled<'a>>,
}

/// A statement that may be run.
struct Compiled<'a> {
    sql: Arc<str>,
    statement: CachedStatement<'a>,
}

impl<'a> Runner<'a> {
    fn query(&mut self, query: &Query, work: &Work) -> Result<Option<Elsewhere>, SqlError> {
        let mut text = query.sql.as_str();
        while let Some(Piece::Statement(statement, rest)) = next_statement(text, true) {
            if crate::model::STATEMENT_BYTES_MAX < statement.len() {
                return Err(SqlError::StatementTooLong);
            }
            let is_last = next_statement(rest, true) == Some(Piece::Nothing);
            let is_shown = is_last || work.results == Results::EachStatement;
            let parameters = if is_last { query.params.as_slice() } else { &[] };
            let kept = self.out.len();
            if let Some(elsewhere) = self.statement(statement, parameters, is_last, work.format)? {
                return Ok(Some(elsewhere));
            }
            if is_shown {
                self.shown.push((self.out.len(), self.ran.len() - 1));
            } else {
                self.out.truncate(kept);
            }
            text = rest;
        }
        // It was more than comments, so something was meant.
        if text.len() == query.sql.len() { Err(SqlError::NoStatement) } else { Ok(None) }
    }

    fn statement(
        &mut self,
        sql: &str,
        parameters: &[Parameter],
        is_last: bool,
        format: Format,
    ) -> Result<Option<Elsewhere>, SqlError> {
        let Compiled { sql, mut statement } = self.compiled(ours::theirs(sql))?;
        let is_pragma = self.guard.was_pragma();
        let is_reading = statement.readonly();
        if !is_reading && self.only_reads {
            return Ok(Some(Elsewhere::Writer));
        }
        if statement.parameter_count() != parameters.len() {
            return Err(if is_last { SqlError::WrongParameters } else { SqlError::ParametersTooEarly });
        }
        let changes_before = self.connection.total_changes();
        let row_before = self.last_row();
        let may_change_schema = !is_reading && !is_about_rows(&sql);
        let schema_before = if may_change_schema { self.schema_version()? } else { 0 };
        let began = self.clock.monotonic();
        self.out.extend_from_slice(br#"{"success":true,"results":"#);
        let written = step(&mut statement, parameters, format, &mut self.out);
        let took = began.elapsed();
        let rows_returned = match written {
            Ok(rows) => rows,
            Err(error) => {
                return match (error, self.guard.stopped()) {
                    (_, Stopped::Quick) => Ok(Some(Elsewhere::SlowRead)),
                    (StepError::Sqlite(error), _) => Err(self.guard.explain(error)),
                    (StepError::TooLarge, _) => Err(SqlError::ResultTooLarge),
                };
            }
        };
        if is_pragma {
            // Most do what they do when they are compiled.
            statement.discard();
        } else {
            self.last = Some(Compiled { sql: Arc::clone(&sql), statement });
        }
        let changes = self.connection.total_changes() - changes_before;
        let has_new_schema = may_change_schema && self.schema_version()? != schema_before;
        if has_new_schema {
            self.plans.forget();
        }
        let last_row_id = self.last_row();
        let meta = Meta {
            served_by: SERVED_BY,
            served_by_primary: true,
            duration: millis(took),
            timings: Timings { sql_duration_ms: millis(took) },
            changes,
            last_row_id,
            changed_db: 0 < changes || last_row_id != row_before || has_new_schema,
            // Known at the end: a request is one transaction.
            size_after: 0,
            rows_read: rows_visited(self.connection, &sql),
            // A new schema is at least a row of its own.
            rows_written: self.guard.ours(|| self.plans.rows_written(self.connection, &sql, changes))
                + u64::from(has_new_schema),
            total_attempts: 1,
        };
        self.ran.push(Ran { sql, meta, rows_returned, is_reading });
        Ok(None)
    }

    fn compiled(&mut self, sql: &str) -> Result<Compiled<'a>, SqlError> {
        match self.last.take() {
            Some(last) if *last.sql == *sql => Ok(last),
            _ => {
                let statement = self.connection.prepare_cached(sql);
                let statement = statement.map_err(|error| self.guard.explain(error))?;
                Ok(Compiled { sql: sql.into(), statement })
            }
        }
    }

    fn finish(mut self) -> Result<Done, SqlError> {
        let size_after = self.figure(database_bytes)?;
        for ran in &mut self.ran {
            ran.meta.size_after = size_after;
        }
        let Self { out, shown, ran, .. } = self;
        Ok(Done { out, shown, ran })
    }

    fn last_row(&self) -> i64 {
        self.last_row.unwrap_or_else(|| self.connection.last_insert_rowid())
    }

    fn schema_version(&self) -> Result<u64, SqlError> {
        self.figure(|connection| ours::ask(connection, ours::SCHEMA_VERSION))
    }

    fn figure(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<u64>) -> Result<u64, SqlError> {
        self.guard.ours(|| ask(self.connection)).map_err(|error| self.guard.explain(error))
    }
}

/// Room for a `meta`, with figures of usual length.
const META_BYTES: usize = 256;

/// Ends a result. The names are written as they are, which takes half the time: a batch has them for each of its statements.
fn write_meta(meta: &Meta, out: &mut Vec<u8>) {
    fn member(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
        out.extend_from_slice(name.as_bytes());
        write_json(value, out);
    }
    member(out, r#","meta":{"served_by":"#, &meta.served_by);
    member(out, r#","served_by_primary":"#, &meta.served_by_primary);
    member(out, r#","duration":"#, &meta.duration);
    member(out, r#","timings":{"sql_duration_ms":"#, &meta.timings.sql_duration_ms);
    member(out, r#"},"changes":"#, &meta.changes);
    member(out, r#","last_row_id":"#, &meta.last_row_id);
    member(out, r#","changed_db":"#, &meta.changed_db);
    member(out, r#","size_after":"#, &meta.size_after);
    member(out, r#","rows_read":"#, &meta.rows_read);
    member(out, r#","rows_written":"#, &meta.rows_written);
    member(out, r#","total_attempts":"#, &meta.total_attempts);
    out.extend_from_slice(b"}}");
}

/// Whether a statement that changes something changes rows alone, by its first word.
fn is_about_rows(sql: &str) -> bool {
    begins_with(sql, &["insert", "update", "delete", "replace"])
}

enum StepError {
    Sqlite(rusqlite::Error),
    TooLarge,
}

impl From<rusqlite::Error> for StepError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Runs one statement and writes its rows; returns how many.
fn step(
    statement: &mut Statement<'_>,
    parameters: &[Parameter],
    format: Format,
    out: &mut Vec<u8>,
) -> Result<u64, StepError> {
    let columns: Vec<Vec<u8>> = statement.column_names().map(quoted).collect();
    for (index, parameter) in parameters.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, parameter)?;
    }
    let rows = statement.raw_query();
    match format {
        Format::Objects => write_rows(rows, &columns, (b'{', b'}'), true, out),
        Format::RowsAndColumns => {
            out.extend_from_slice(br#"{"columns":["#);
            out.extend_from_slice(&columns.join(&b','));
            out.extend_from_slice(br#"],"rows":"#);
            let count = write_rows(rows, &columns, (b'[', b']'), false, out)?;
            out.push(b'}');
            Ok(count)
        }
    }
}

fn write_rows(
    mut rows: Rows<'_>,
    columns: &[Vec<u8>],
    (open, close): (u8, u8),
    is_named: bool,
    out: &mut Vec<u8>,
) -> Result<u64, StepError> {
    out.push(b'[');
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if 0 < count {
            out.push(b',');
        }
        count += 1;
        out.push(open);
        for (index, name) in columns.iter().enumerate() {
            if 0 < index {
                out.push(b',');
            }
            if is_named {
                out.extend_from_slice(name);
                out.push(b':');
            }
            write(row.get_ref(index)?, out);
        }
        out.push(close);
        if RESULT_BYTES_MAX < out.len() {
            return Err(StepError::TooLarge);
        }
    }
    out.push(b']');
    Ok(count)
}

fn quoted(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    write_json(name, &mut out);
    out
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_is_written_as_it_is_described() {
        let meta = Meta {
            served_by: SERVED_BY,
            served_by_primary: true,
            duration: 0.25,
            timings: Timings { sql_duration_ms: 0.5 },
            changes: 1,
            last_row_id: i64::MIN,
            changed_db: true,
            size_after: u64::MAX,
            rows_read: 2,
            rows_written: 3,
            total_attempts: 1,
        };
        let mut out = Vec::new();
        write_meta(&meta, &mut out);
        let described = serde_json::to_string(&meta).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!(r#","meta":{described}}}"#));
    }
}
