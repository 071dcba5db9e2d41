//! Values between SQLite and JSON, as D1 converts them (Cloudflare: D1, type conversion).

use std::io::Write as _;

use store::rusqlite::{
    self,
    types::{ToSqlOutput, Value, ValueRef},
};

use crate::model::Parameter;

impl rusqlite::ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Number(number) => ToSqlOutput::Owned(Value::Real(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// Writes a value: blobs as arrays of bytes, and infinity as JavaScript writes it to JSON.
pub(super) fn write(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(number) => write_json(&number, out),
        ValueRef::Real(number) => write_real(number, out),
        ValueRef::Text(text) => write_json(&String::from_utf8_lossy(text), out),
        ValueRef::Blob(bytes) => write_json(bytes, out),
    }
}

/// Writes a number as JavaScript does: whole ones without a fraction, and `null` if it is not finite.
fn write_real(number: f64, out: &mut Vec<u8>) {
    /// From here on JavaScript writes an exponent.
    const EXPONENT_FROM: f64 = 1e21;
    if number.fract() == 0.0 && number.abs() < EXPONENT_FROM {
        // Adding zero makes of minus zero what JavaScript writes for it.
        write!(out, "{:.0}", number + 0.0).expect("writing to memory does not fail");
    } else {
        write_json(&number, out);
    }
}

/// Writes anything that JSON can hold.
pub(super) fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}
