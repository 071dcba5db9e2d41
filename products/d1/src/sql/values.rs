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
        // Nearly all text is what it says it is, and to see that takes less than to look for what is not.
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => write_json(text, out),
            Err(_) => write_json(&String::from_utf8_lossy(text), out),
        },
        ValueRef::Blob(bytes) => write_json(bytes, out),
    }
}

/// Writes a number as JavaScript does: whole ones without a fraction, and `null` if it is not finite.
fn write_real(number: f64, out: &mut Vec<u8>) {
    /// Up to here an integer holds them too, which is written faster. It has no minus zero, as `JSON.stringify` has none.
    const WHOLE_UP_TO: f64 = 9e15;
    /// From here on JavaScript writes an exponent.
    const EXPONENT_FROM: f64 = 1e21;
    if number.fract() == 0.0 && number.abs() < WHOLE_UP_TO {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and not too large")]
        write_json(&(number as i64), out);
    } else if number.fract() == 0.0 && number.abs() < EXPONENT_FROM {
        write!(out, "{number:.0}").expect("writing to memory does not fail");
    } else {
        write_json(&number, out);
    }
}

/// Writes anything that JSON can hold.
pub(super) fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_are_written_as_javascript_reads_them() {
        let cases = [
            (ValueRef::Real(-0.0), "0"),
            (ValueRef::Real(-7.0), "-7"),
            (ValueRef::Real(0.1), "0.1"),
            (ValueRef::Real(9_007_199_254_740_992.0), "9007199254740992"),
            (ValueRef::Real(-1e20), "-100000000000000000000"),
            (ValueRef::Real(1e21), "1e+21"),
            (ValueRef::Real(f64::NAN), "null"),
            (ValueRef::Integer(i64::MIN), "-9223372036854775808"),
            (ValueRef::Text("a\"ü\n".as_bytes()), r#""a\"ü\n""#),
            (ValueRef::Text(b"a\xffb"), "\"a\u{fffd}b\""),
            (ValueRef::Blob(&[0, 255]), "[0,255]"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
