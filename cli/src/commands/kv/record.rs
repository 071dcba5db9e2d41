//! A key as a line of an export. The names are those of a bulk write, so that an import passes lines on.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One key with all it carries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    #[serde(rename = "name", alias = "key")]
    pub(super) name: String,
    /// Text, or base64 where it is not UTF-8.
    pub(super) value: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) base64: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Box<RawValue>>,
    /// The second at which the key is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expiration: Option<u64>,
}

/// A key as a list of the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) name: String,
    metadata: Option<Box<RawValue>>,
    expiration: Option<u64>,
}

impl Record {
    pub(super) fn new(listed: Listed, value: &[u8]) -> Self {
        let Listed { name, metadata, expiration } = listed;
        let (value, base64) = match std::str::from_utf8(value) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (BASE64_STANDARD.encode(value), true),
        };
        Self { name, value, base64, metadata, expiration }
    }

    /// About what it takes of a request.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.metadata.as_ref().map_or(0, |metadata| metadata.get().len())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A record as a bulk write takes it.
#[derive(Debug, Serialize)]
pub(super) struct Pair<'a> {
    key: &'a str,
    value: &'a str,
    base64: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
}

impl<'a> From<&'a Record> for Pair<'a> {
    fn from(record: &'a Record) -> Self {
        let Record { name, value, base64, metadata, expiration } = record;
        Self { key: name, value, base64: *base64, metadata: metadata.as_deref(), expiration: *expiration }
    }
}
