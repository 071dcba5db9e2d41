//! A database as SQL text: what `wrangler d1 export` saves and `wrangler d1 execute --file` takes. The statements are those
//! of Cloudflare's exports; unlike there, all tables are made before the first row is put in, so that tables which refer to
//! later ones can be imported again.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use serde::Deserialize;
use store::rusqlite::{self, Connection, Rows, types::ValueRef};

use crate::D1Error;

/// What an export is to hold (wrangler: `--table`, `--no-schema`, `--no-data`, `--compatibility`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DumpOptions {
    /// Only these, if any are named.
    tables: Vec<String>,
    no_schema: bool,
    no_data: bool,
    compatibility: Compatibility,
}

/// Who is to read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Compatibility {
    #[default]
    D1,
    /// SQLite's own shell: then virtual tables can be written too.
    Sqlite3CliOnly,
}

/// Most tables that an export may name.
const TABLES_MAX: usize = 10_000;

/// Writes the database that `connection` sees. `after_each_row` may stop it.
pub(crate) fn dump(
    connection: &Connection,
    options: &DumpOptions,
    out: &mut impl Write,
    after_each_row: impl FnMut() -> Result<(), D1Error>,
) -> Result<(), DumpError> {
    let wanted: BTreeSet<&str> = options.tables.iter().take(TABLES_MAX).map(String::as_str).collect();
    let tables = tables(connection)?;
    if let Some(missing) = wanted.iter().find(|name| !tables.iter().any(|table| table.name == **name)) {
        return Err(D1Error::ExportTableMissing((*missing).to_owned()).into());
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(name);
    let tables: Vec<_> = tables.into_iter().filter(|table| is_wanted(&table.name)).collect();
    let is_for_shell = options.compatibility == Compatibility::Sqlite3CliOnly;
    let virtual_tables = tables.iter().filter(|table| table.kind == Kind::Virtual).count();
    if 0 < virtual_tables && !is_for_shell {
        return Err(D1Error::ExportVirtualTable.into());
    }
    let (before, after) = match (is_for_shell, virtual_tables) {
        (false, _) => ("PRAGMA defer_foreign_keys=TRUE;\n", ""),
        (true, 0) => ("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "COMMIT;\n"),
        (true, _) => (
            "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nPRAGMA writable_schema=ON;\n",
            "PRAGMA writable_schema=OFF;\nCOMMIT;\n",
        ),
    };
    out.write_all(before.as_bytes())?;
    let mut dumper = Dumper { connection, out, after_each_row };
    if !options.no_schema {
        tables.iter().try_for_each(|table| dumper.schema(table))?;
    }
    if !options.no_data {
        tables.iter().try_for_each(|table| dumper.rows(table))?;
    }
    if !options.no_schema {
        dumper.rest_of_schema(is_wanted)?;
    }
    Ok(out.write_all(after.as_bytes())?)
}

/// Why a dump was not written.
#[derive(Debug)]
pub(crate) enum DumpError {
    D1(D1Error),
    Read(rusqlite::Error),
    Write(io::Error),
}

impl From<D1Error> for DumpError {
    fn from(error: D1Error) -> Self {
        Self::D1(error)
    }
}

impl From<rusqlite::Error> for DumpError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

struct Table {
    name: String,
    sql: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Virtual,
    /// `sqlite_sequence`
    Sequence,
    /// What ANALYZE found.
    Statistics,
}

/// All tables but the platform's own, in the order of their making; the sequence last.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL
               AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY tbl_name = 'sqlite_sequence', rowid";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let of = |(name, sql): (String, String)| {
        let kind = match name.as_str() {
            "sqlite_sequence" => Kind::Sequence,
            name if name.starts_with("sqlite_stat") => Kind::Statistics,
            name if name.starts_with("sqlite_") => return None,
            _ if sql.starts_with("CREATE VIRTUAL TABLE") => Kind::Virtual,
            _ => Kind::Plain,
        };
        Some(Table { name, sql, kind })
    };
    rows.filter_map(|row| row.map(of).transpose()).collect()
}

struct Dumper<'a, W, F> {
    connection: &'a Connection,
    out: &'a mut W,
    after_each_row: F,
}

impl<W: Write, F: FnMut() -> Result<(), D1Error>> Dumper<'_, W, F> {
    fn schema(&mut self, table: &Table) -> Result<(), DumpError> {
        match table.kind {
            // It is there with the first table that counts.
            Kind::Sequence => {}
            Kind::Statistics => writeln!(self.out, "ANALYZE sqlite_schema;")?,
            Kind::Virtual => {
                let name = text(&table.name);
                let sql = text(&table.sql);
                writeln!(
                    self.out,
                    "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table',{name},{name},0,{sql});"
                )?;
            }
            Kind::Plain => match table.sql.strip_prefix("CREATE TABLE ") {
                // A quoted name is what SQLite writes after a rename.
                Some(rest) if rest.starts_with(['"', '\'']) => {
                    writeln!(self.out, "CREATE TABLE IF NOT EXISTS {rest};")?;
                }
                _ => writeln!(self.out, "{};", table.sql)?,
            },
        }
        Ok(())
    }

    fn rows(&mut self, table: &Table) -> Result<(), DumpError> {
        match table.kind {
            Kind::Virtual => return Ok(()),
            // The rows before have counted; what they are to have counted comes now.
            Kind::Sequence => writeln!(self.out, "DELETE FROM sqlite_sequence;")?,
            Kind::Plain | Kind::Statistics => {}
        }
        let name = identifier(&table.name);
        let mut columns = self.connection.prepare(&format!("PRAGMA table_info({name})"))?;
        let columns = columns.query_map([], |row| row.get::<_, String>(1))?;
        let columns: Vec<_> =
            columns.collect::<Result<Vec<_>, _>>()?.iter().map(|name| identifier(name)).collect();
        let columns = columns.join(",");
        let mut select = self.connection.prepare(&format!("SELECT {columns} FROM {name}"))?;
        let count = select.column_count();
        let mut line = Vec::new();
        let mut rows: Rows<'_> = select.raw_query();
        while let Some(row) = rows.next()? {
            line.clear();
            write!(line, "INSERT INTO {name} ({columns}) VALUES(")?;
            for index in 0..count {
                if 0 < index {
                    line.push(b',');
                }
                literal(row.get_ref(index)?, &mut line)?;
            }
            line.extend_from_slice(b");\n");
            self.out.write_all(&line)?;
            (self.after_each_row)()?;
        }
        Ok(())
    }

    /// Indexes and triggers of the tables, and views.
    fn rest_of_schema(&mut self, is_wanted: impl Fn(&str) -> bool) -> Result<(), DumpError> {
        let sql = "SELECT tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('index', 'trigger', 'view')
                   AND tbl_name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY type COLLATE NOCASE, rowid";
        let mut select = self.connection.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (table, sql): (String, String) = (row.get(0)?, row.get(1)?);
            if is_wanted(&table) {
                writeln!(self.out, "{sql};")?;
            }
        }
        Ok(())
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as SQL that makes the very same value.
fn literal(value: ValueRef<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"NULL"),
        ValueRef::Integer(number) => write!(out, "{number}"),
        ValueRef::Real(number) if number.is_finite() => write!(out, "{number:?}"),
        ValueRef::Real(number) => out.write_all(if 0.0 < number { b"9e999" } else { b"-9e999" }),
        ValueRef::Text(bytes) => match str::from_utf8(bytes) {
            // SQL text ends at a NUL, and is UTF-8.
            Ok(string) if !bytes.contains(&0) => out.write_all(text(string).as_bytes()),
            _ => write!(out, "CAST({} AS TEXT)", blob(bytes)),
        },
        ValueRef::Blob(bytes) => out.write_all(blob(bytes).as_bytes()),
    }
}

fn blob(bytes: &[u8]) -> String {
    format!("X'{}'", hex::encode(bytes))
}

/// A text in quotes. Line ends are written as SQLite's shell does, so that each statement stays on one line.
fn text(string: &str) -> String {
    let mut quoted = format!("'{}'", string.replace('\'', "''"));
    for (end, name, code) in [('\r', "\\r", 13), ('\n', "\\n", 10)] {
        if string.contains(end) {
            let mut stand_in = name.to_owned();
            // One that is nowhere in the text itself.
            for number in 1.. {
                if !string.contains(&stand_in) {
                    break;
                }
                stand_in = format!("{name}{number};");
            }
            quoted = format!("replace({},'{stand_in}',char({code}))", quoted.replace(end, &stand_in));
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use store::rusqlite::{
        Connection,
        types::{Value, ValueRef},
    };

    use super::{DumpOptions, dump, literal};

    fn export(connection: &Connection, options: &str) -> String {
        let options: DumpOptions = serde_json::from_str(options).expect("options");
        let mut out = Vec::new();
        dump(connection, &options, &mut out, || Ok(())).expect("an export");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_value_is_the_same_again() {
        let connection = Connection::open_in_memory().expect("a database");
        let texts = ["", "it's", "a\nb\r\n", "\\n and\n\\n1;", "ä", "nul\0nul", "replace(\r,'\\r'"];
        let texts = texts.map(|text| Value::Text(text.to_owned()));
        let numbers = [1.0, 0.1, 1e300, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324].map(Value::Real);
        let others =
            [Value::Null, Value::Integer(i64::MAX), Value::Integer(i64::MIN), Value::Blob(vec![0, 255])];
        for value in texts.into_iter().chain(numbers).chain(others) {
            let mut sql = b"SELECT ".to_vec();
            literal(ValueRef::from(&value), &mut sql).expect("it is in memory");
            let sql = String::from_utf8(sql).expect("text");
            assert!(!sql.contains(['\n', '\r', '\0']), "{sql}");
            let found: Value = connection.query_row(&sql, [], |row| row.get(0)).expect("valid SQL");
            assert_eq!(found, value, "{sql}");
        }
    }

    #[test]
    fn options_choose_what_is_written() {
        let connection = Connection::open_in_memory().expect("a database");
        let schema = "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, p REFERENCES \"pa rent\");
            CREATE TABLE \"pa rent\" (\"i\"\"d\" PRIMARY KEY, twice AS (1) STORED); CREATE TABLE _cf_own (a);
            CREATE INDEX of_child ON child (p); CREATE VIEW seen AS SELECT 1;
            INSERT INTO \"pa rent\" VALUES ('x'); INSERT INTO child (p) VALUES ('x');";
        connection.execute_batch(schema).expect("a schema");
        let all = "PRAGMA defer_foreign_keys=TRUE;\n\
            CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, p REFERENCES \"pa rent\");\n\
            CREATE TABLE IF NOT EXISTS \"pa rent\" (\"i\"\"d\" PRIMARY KEY, twice AS (1) STORED);\n\
            INSERT INTO \"child\" (\"id\",\"p\") VALUES(1,'x');\n\
            INSERT INTO \"pa rent\" (\"i\"\"d\") VALUES('x');\n\
            DELETE FROM sqlite_sequence;\n\
            INSERT INTO \"sqlite_sequence\" (\"name\",\"seq\") VALUES('child',1);\n\
            CREATE INDEX of_child ON child (p);\nCREATE VIEW seen AS SELECT 1;\n";
        assert_eq!(export(&connection, "{}"), all);
        let of_table = export(&connection, r#"{"tables": ["child"], "no_data": true}"#);
        assert_eq!(of_table.lines().count(), 3, "pragma, table, index: {of_table}");
        let data = export(&connection, r#"{"no_schema": true}"#);
        assert!(!data.contains("CREATE"), "{data}");
        let for_shell = export(&connection, r#"{"compatibility": "sqlite3_cli_only"}"#);
        assert!(for_shell.starts_with("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"), "{for_shell}");
        let again = Connection::open_in_memory().expect("a database");
        again.execute_batch(&for_shell).expect("a dump that can be read");
        assert_eq!(export(&again, "{}"), all);
    }
}
