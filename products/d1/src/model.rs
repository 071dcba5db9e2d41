//! What is valid in D1, and every limit with its source.

use std::{fmt, str::FromStr, time::Duration};

use ::model::DatabaseId;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

use crate::D1Error;

/// Longest name of a database (Cloudflare: API reference, D1 create).
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Databases of an account (Cloudflare: D1 limits, paid).
pub(crate) const DATABASES_MAX: usize = 50_000;
/// Largest database (Cloudflare: D1 limits, paid).
pub(crate) const DATABASE_BYTES_MAX: u64 = 10_000_000_000;
/// Bytes of a page: SQLite's default, as D1's.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Largest database in pages.
pub(crate) const DATABASE_PAGES_MAX: u64 = DATABASE_BYTES_MAX / PAGE_BYTES;
/// Longest statement in bytes (Cloudflare: D1 limits).
pub(crate) const STATEMENT_BYTES_MAX: usize = 100_000;
/// Parameters of a statement (Cloudflare: D1 limits).
pub(crate) const PARAMETERS_MAX: usize = 100;
/// Largest text, blob or row in bytes (Cloudflare: D1 limits).
pub(crate) const VALUE_BYTES_MAX: usize = 2_000_000;
/// Columns of a table (Cloudflare: D1 limits).
pub(crate) const COLUMNS_MAX: usize = 100;
/// Longest pattern of LIKE and GLOB in bytes (Cloudflare: D1 limits).
pub(crate) const PATTERN_BYTES_MAX: usize = 50;
/// How long the statements of one request may run (Cloudflare: D1 limits).
pub(crate) const QUERY_DURATION_MAX: Duration = Duration::from_secs(30);
/// Bytes that the statements of one request may hold in temporary files, to sort and group what is more than memory: what
/// Cloudflare's do within the 128 MB of an isolate is far less.
pub(crate) const REQUEST_TEMPORARY_BYTES_MAX: u64 = 1_000_000_000;
/// The same of all databases together, and of an import: enough for an index of the largest database.
pub(crate) const TEMPORARY_BYTES_MAX: u64 = DATABASE_BYTES_MAX;
/// Largest answer to one request in bytes (Cloudflare: D1 limits, query result size).
pub(crate) const RESULT_BYTES_MAX: usize = 50_000_000;
/// Statements of one batch: Cloudflare bounds the calls of one invocation at 1,000; batches are bounded in bytes.
pub(crate) const BATCH_STATEMENTS_MAX: usize = 10_000;

/// Largest file of SQL to import (Cloudflare: D1 limits).
pub(crate) const IMPORT_BYTES_MAX: u64 = 5_000_000_000;
/// Longest statement of an import: a row of the largest values in hex, so that whatever was exported can be imported.
pub(crate) const SCRIPT_STATEMENT_BYTES_MAX: usize = 5_000_000;
/// How long the statements of an import may run.
pub(crate) const IMPORT_DURATION_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a URL for a file that comes or goes is valid (wrangler says so of exports).
pub(crate) const SIGNED_URL_DURATION_MAX: Duration = Duration::from_secs(60 * 60);

/// Files that may lie ready to be imported, fetched or restored, of all databases.
pub(crate) const TRANSFERS_MAX: usize = 64;

/// A database's name, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, D1Error> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_valid = text.len() <= NAME_BYTES_MAX
            && text.bytes().all(is_inner)
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if is_valid { Ok(Self(text.to_owned())) } else { Err(D1Error::NameInvalid(text.to_owned())) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A database as the account knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) id: DatabaseId,
    pub(crate) name: String,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// Where its owner wished it to be, as it was said.
    pub(crate) location_hint: Option<String>,
    /// Likewise, for law.
    pub(crate) jurisdiction: Option<String>,
}

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    /// All of JavaScript's numbers are doubles, and D1 binds them so.
    Number(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// One prepared statement with its values.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Query {
    pub(crate) sql: String,
    #[serde(default, deserialize_with = "parameters")]
    pub(crate) params: Vec<Parameter>,
}

impl Query {
    /// Whether it says nothing: white space and whole lines of comment.
    pub(crate) fn is_empty(&self) -> bool {
        // Nearly all begin with a word, so nobody looks for the ends of lines.
        let sql = self.sql.trim_start();
        let mut lines = sql.lines().map(str::trim);
        sql.is_empty() || sql.starts_with("--") && lines.all(|line| line.is_empty() || line.starts_with("--"))
    }
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `[{"column": value, …}, …]`
    Objects,
    /// `{"columns": […], "rows": [[…], …]}`
    RowsAndColumns,
}

/// What a statement did (Cloudflare: D1, return object).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Meta {
    pub(crate) served_by: &'static str,
    pub(crate) served_by_primary: bool,
    /// Milliseconds.
    pub(crate) duration: f64,
    pub(crate) timings: Timings,
    pub(crate) changes: u64,
    pub(crate) last_row_id: i64,
    pub(crate) changed_db: bool,
    /// Bytes of the whole database.
    pub(crate) size_after: u64,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) total_attempts: u8,
}

/// [`Meta`]'s nested member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Timings {
    /// Milliseconds.
    pub(crate) sql_duration_ms: f64,
}

/// A state in a database's history: the one right after its commit of this number. Texts of later ones are greater, as
/// sessions compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bookmark {
    pub(crate) commit: u64,
    pub(crate) database: DatabaseId,
}

impl fmt::Display for Bookmark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.commit >> 32, self.commit & 0xffff_ffff);
        write!(formatter, "{high:08x}-{low:08x}-00000000-{}", self.database.simple())
    }
}

impl FromStr for Bookmark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = |text: &str| u64::from_str_radix(text, 16).map_err(drop);
        let parts: Vec<_> = text.split('-').collect();
        let [high, low, "00000000", database] = parts[..] else { return Err(()) };
        if (high.len(), low.len(), database.len()) != (8, 8, 32) {
            return Err(());
        }
        let commit = hex(high)? << 32 | hex(low)?;
        Ok(Self { commit, database: database.parse().map_err(drop)? })
    }
}

/// Reads `params`, which may be missing or `null`.
pub(crate) fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Parameter>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfJson;
        impl<'de> Visitor<'de> for OfJson {
            type Value = Parameter;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, a text, null, or an array of bytes")
            }

            fn visit_unit<E>(self) -> Result<Parameter, E> {
                Ok(Parameter::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Parameter, E> {
                Ok(Parameter::Number(f64::from(u8::from(value))))
            }

            #[expect(clippy::cast_precision_loss, reason = "as JavaScript reads it")]
            fn visit_i64<E>(self, value: i64) -> Result<Parameter, E> {
                Ok(Parameter::Number(value as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "as JavaScript reads it")]
            fn visit_u64<E>(self, value: u64) -> Result<Parameter, E> {
                Ok(Parameter::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Parameter, E> {
                Ok(Parameter::Number(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Parameter, E> {
                Ok(Parameter::Text(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Parameter, E> {
                Ok(Parameter::Text(value))
            }

            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a remainder of 256")]
            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Parameter, A::Error> {
                let mut blob = Vec::with_capacity(bytes.size_hint().unwrap_or(0).min(VALUE_BYTES_MAX));
                // What is more than a byte keeps its low eight bits, and a fraction is dropped, as in JavaScript's arrays of bytes.
                while let Some(number) = bytes.next_element::<f64>()? {
                    blob.push(number.trunc().rem_euclid(256.0) as u8);
                }
                Ok(Parameter::Blob(blob))
            }
        }
        deserializer.deserialize_any(OfJson)
    }
}

#[cfg(test)]
mod tests {
    use model::DatabaseId;

    use super::{Bookmark, Name, Parameter, Query};

    #[test]
    fn bookmarks_are_read_back_and_grow_with_their_commits() {
        let database = DatabaseId::random();
        let of = |commit| Bookmark { commit, database };
        let commits = [0, 1, 9, 10, 255, 256, u64::from(u32::MAX), 1 << 32, u64::MAX];
        for commit in commits {
            assert_eq!(of(commit).to_string().parse(), Ok(of(commit)));
        }
        assert!(commits.windows(2).all(|pair| of(pair[0]).to_string() < of(pair[1]).to_string()));
        for wrong in ["", "first-primary", "0-1-0-x", "00000000-00000001-00000000-zz"] {
            assert!(wrong.parse::<Bookmark>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_are_what_json_can_say_of_sql_values() {
        let query: Query =
            serde_json::from_str(r#"{"sql": "x", "params": [1, -2.5, "t", null, true, [0, 255]]}"#)
                .expect("valid parameters");
        let number = Parameter::Number;
        let expected = [
            number(1.0),
            number(-2.5),
            Parameter::Text("t".into()),
            Parameter::Null,
            number(1.0),
            Parameter::Blob(vec![0, 255]),
        ];
        assert_eq!(query.params, expected);
        for wrong in
            [r#"{"sql": "x", "params": [{}]}"#, r#"{"sql": "x", "params": [["a"]]}"#, r#"{"params": []}"#]
        {
            assert!(serde_json::from_str::<Query>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_what_cloudflare_takes() {
        for right in ["a", "my-db", "My_DB2", &"x".repeat(64)] {
            assert!(Name::parse(right).is_ok(), "{right}");
        }
        for wrong in ["", "-a", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }
}
