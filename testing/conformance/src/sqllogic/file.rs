//! The files of sqllogictest (SQLite: sqllogictest, about): statements that are to succeed or to fail, and queries with their
//! types, their order and their results. Read and written; running them is the parent's business.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// One statement or query, and what is expected of it.
#[derive(Debug)]
pub(super) struct Record {
    /// Where it begins.
    pub(super) line: usize,
    comments: Vec<String>,
    pub(super) sql: String,
    pub(super) expected: Expected,
}

/// What a record expects.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// `statement ok`
    Success,
    /// `statement error`, and what its message must contain.
    Failure(String),
    /// `query`
    Results { types: String, sort: Sort, values: Vec<String> },
}

/// Which order of a query's results is the same to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// As they come.
    No,
    /// By rows.
    Rows,
    /// By values, whatever their rows.
    Values,
}

/// Reads a file: records with blank lines between them.
pub(super) fn parse(text: &str) -> Result<Vec<Record>, String> {
    let lines: Vec<_> = text.lines().collect();
    let numbered: Vec<_> = lines.iter().copied().enumerate().collect();
    let blocks = numbered.split(|(_, line)| line.is_empty()).filter(|block| !block.is_empty());
    blocks.map(|block| record(block).map_err(|error| format!("line {}: {error}", block[0].0 + 1))).collect()
}

fn record(block: &[(usize, &str)]) -> Result<Record, String> {
    let at = block.iter().position(|(_, line)| !line.starts_with('#')).ok_or("a comment on no record")?;
    let (comments, rest) = block.split_at(at);
    let text = |lines: &[(usize, &str)]| lines.iter().map(|(_, line)| (*line).to_owned()).collect::<Vec<_>>();
    let (line, head) = rest[0];
    let (sql, values) = match rest.iter().position(|(_, line)| *line == "----") {
        Some(end) => (&rest[1..end], text(&rest[end + 1..])),
        None => (&rest[1..], Vec::new()),
    };
    let mut words = head.splitn(3, ' ');
    let expected = match (words.next(), words.next(), words.next()) {
        (Some("statement"), Some("ok"), None) => Expected::Success,
        (Some("statement"), Some("error"), message) => {
            Expected::Failure(message.unwrap_or_default().to_owned())
        }
        (Some("query"), Some(types), sort) => {
            let sort = match sort {
                None | Some("nosort") => Sort::No,
                Some("rowsort") => Sort::Rows,
                Some("valuesort") => Sort::Values,
                Some(other) => return Err(format!("no order is called `{other}`")),
            };
            Expected::Results { types: types.to_owned(), sort, values }
        }
        _ => return Err(format!("`{head}` begins no record")),
    };
    Ok(Record { line: line + 1, comments: text(comments), sql: text(sql).join("\n"), expected })
}

/// A whole file's text.
pub(super) fn write(records: &[Record]) -> String {
    records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(formatter, "{comment}")?;
        }
        match &self.expected {
            Expected::Success => writeln!(formatter, "statement ok\n{}", self.sql),
            Expected::Failure(message) => {
                writeln!(formatter, "{}\n{}", format!("statement error {message}").trim_end(), self.sql)
            }
            Expected::Results { types, sort, values } => {
                let order = match sort {
                    Sort::No => "",
                    Sort::Rows => " rowsort",
                    Sort::Values => " valuesort",
                };
                writeln!(formatter, "query {types}{order}\n{}\n----", self.sql)?;
                values.iter().try_for_each(|value| writeln!(formatter, "{value}"))
            }
        }
    }
}

/// A query's results as its record writes them, a value on each line.
pub(super) fn values(types: &str, sort: Sort, rows: &[Vec<Value>]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for row in rows {
        if row.len() != types.len() {
            return Err(format!("{} columns, not {}: {row:?}", row.len(), types.len()));
        }
        texts.push(types.chars().zip(row).map(|(kind, value)| value_text(kind, value)).collect::<Vec<_>>());
    }
    if sort == Sort::Rows {
        texts.sort();
    }
    let mut values = texts.concat();
    if sort == Sort::Values {
        values.sort();
    }
    Ok(values)
}

/// A value in a column of integers (`I`), of numbers with three decimals (`R`) or of text (`T`).
fn value_text(kind: char, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Null) => "NULL".into(),
        ('R', Value::Number(number)) => format!("{:.3}", number.as_f64().unwrap_or(f64::NAN)),
        // JSON from JavaScript has no `1.0`.
        (_, Value::Number(number)) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        (_, Value::String(text)) if text.is_empty() => "(empty)".into(),
        (_, Value::String(text)) => text.replace('\n', "\\n"),
        (_, Value::Array(bytes)) => {
            bytes.iter().filter_map(Value::as_u64).fold("x".into(), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        }
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Sort, parse, values, write};

    const FILE: &str = "# A table.\nstatement ok\nCREATE TABLE t (a,\n  b)\n\nstatement error no such table: u\n\
        SELECT * FROM u\n\nquery IRT rowsort\nSELECT a, b, c FROM t\n----\n1\n2.500\n(empty)\n";

    #[test]
    fn a_file_is_written_as_it_was_read() {
        let records = parse(FILE).expect("a valid file");
        assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 6, 9]);
        assert_eq!(write(&records), FILE);
        for wrong in
            ["select 1", "query I sideways\nSELECT 1\n----\n1", "# alone", "statement maybe\nSELECT 1"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn results_are_written_by_type_and_sorted_by_row_or_value() {
        let rows =
            [vec![json!(2), json!("b")], vec![json!(1.0), json!("")], vec![json!(null), json!([1, 255])]];
        let of = |types, sort| values(types, sort, &rows);
        assert_eq!(
            of("IT", Sort::No),
            Ok(["2", "b", "1", "(empty)", "NULL", "x01ff"].map(String::from).into())
        );
        assert_eq!(
            of("IT", Sort::Rows),
            Ok(["1", "(empty)", "2", "b", "NULL", "x01ff"].map(String::from).into())
        );
        assert_eq!(
            of("RT", Sort::Values),
            Ok(["(empty)", "1.000", "2.000", "NULL", "b", "x01ff"].map(String::from).into())
        );
        assert!(of("I", Sort::No).is_err());
    }
}
