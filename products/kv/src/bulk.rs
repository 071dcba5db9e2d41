//! Bulk reads, on which both doors agree save for the frame around the answer.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{
    KvError,
    model::{BULK_GET_KEYS_MAX, Key},
    store::{Entry, Store, Taken},
};

/// How a bulk read shows values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Text,
    Json,
}

impl ValueType {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, KvError> {
        match text {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(other) => Err(KvError::BulkTypeInvalid(other.to_owned())),
        }
    }
}

/// One key that was found, as JSON.
#[derive(Debug)]
pub(crate) struct BulkEntry {
    pub(crate) value: Box<RawValue>,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) expires_s: Option<u64>,
}

/// What a bulk read found, in the order asked for, and the memory that it takes.
type Found = (Vec<(String, Option<BulkEntry>)>, Taken);

/// Reads up to [`BULK_GET_KEYS_MAX`] keys, each once.
pub(crate) async fn read(
    store: &Store,
    namespace: &str,
    names: Vec<String>,
    kind: ValueType,
) -> Result<Found, KvError> {
    if names.is_empty() {
        return Err(KvError::BulkKeysNone);
    }
    if BULK_GET_KEYS_MAX < names.len() {
        return Err(KvError::BulkKeysTooMany);
    }
    let mut seen = HashSet::new();
    let names: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
    let keys = names.iter().cloned().map(Key::parse).collect::<Result<Vec<_>, _>>()?;
    let memory = store.bulk_read_memory(keys.len()).await;
    let entries = store.get_many(namespace, keys).await?;
    let show = |(name, entry): (String, Option<Entry<Bytes>>)| {
        Ok::<_, KvError>((name, entry.map(|entry| show(&entry, kind)).transpose()?))
    };
    Ok((names.into_iter().zip(entries).map(show).collect::<Result<_, _>>()?, memory))
}

fn show(entry: &Entry<Bytes>, kind: ValueType) -> Result<BulkEntry, KvError> {
    let value = match kind {
        ValueType::Text => raw(&String::from_utf8_lossy(&entry.value)),
        ValueType::Json => serde_json::from_slice(&entry.value).map_err(|_json| KvError::BulkValueNotJson)?,
    };
    let metadata = entry.metadata.as_deref().map(raw_metadata);
    Ok(BulkEntry { value, metadata, expires_s: entry.expires_s })
}

/// Metadata was checked to be JSON before it was kept.
pub(crate) fn raw_metadata(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_damaged| raw(&()))
}

/// Text that is known to be JSON.
pub(crate) fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts, numbers and parsed JSON serialise")
}

/// A JSON object whose members stand in the order of `entries`; a key that was not found is `null`.
pub(crate) fn ordered(
    entries: Vec<(String, Option<BulkEntry>)>,
    show: impl Fn(BulkEntry) -> Box<RawValue>,
) -> Ordered {
    Ordered(entries.into_iter().map(|(name, entry)| (name, entry.map(&show))).collect())
}

/// What [`ordered`] makes.
#[derive(Debug)]
pub(crate) struct Ordered(Vec<(String, Option<Box<RawValue>>)>);

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
