//! KV's words and limits: keys, metadata, expiry, list queries. Nothing here knows a table or a protocol.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use model::NamespaceId;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::KvError;

/// Longest key and prefix, in UTF-8 bytes (Cloudflare: KV limits page, as all limits here that name no other source).
pub(crate) const KEY_BYTES_MAX: usize = 512;

/// Largest value: 25 MiB.
pub(crate) const VALUE_BYTES_MAX: u64 = 25 * 1024 * 1024;

/// Longest metadata, as JSON text.
pub(crate) const METADATA_BYTES_MAX: usize = 1024;

/// Shortest life of a key that expires.
pub(crate) const EXPIRATION_TTL_S_MIN: u64 = 60;

/// Shortest time for which a reader may ask a value to be cached.
pub(crate) const CACHE_TTL_S_MIN: u64 = 30;

/// Most keys of one page, and the page size if none is asked for.
pub(crate) const LIST_KEYS_MAX: usize = 1000;

/// Most keys of one bulk read.
pub(crate) const BULK_GET_KEYS_MAX: usize = 100;

/// Most bytes of values in one bulk read.
pub(crate) const BULK_GET_BYTES_MAX: u64 = 25 * 1024 * 1024;

/// Most pairs or keys of one bulk write or delete (Cloudflare: API reference, KV bulk).
pub(crate) const BULK_WRITE_KEYS_MAX: usize = 10_000;

/// Most namespaces of an account.
pub(crate) const NAMESPACES_MAX: usize = 1000;

/// Longest title, in bytes (Cloudflare: API reference, KV namespaces).
pub(crate) const TITLE_BYTES_MAX: usize = 512;

/// A namespace as the account lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Namespace {
    pub(crate) id: NamespaceId,
    pub(crate) title: String,
}

/// A namespace's title: neither empty nor too long.
#[derive(Debug, Clone)]
pub(crate) struct Title(String);

impl Title {
    pub(crate) fn parse(text: String) -> Result<Self, KvError> {
        if text.is_empty() {
            return Err(KvError::TitleMissing);
        }
        if TITLE_BYTES_MAX < text.len() {
            return Err(KvError::TitleTooLong { bytes: text.len() });
        }
        Ok(Self(text))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A key that passed KV's rules; everything behind this trusts the type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a>(Cow<'a, str>);

impl<'a> Key<'a> {
    /// Checks a key that was not encoded.
    pub(crate) fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, KvError> {
        let text = text.into();
        match text.as_ref() {
            "" => Err(KvError::KeyEmpty),
            "." | ".." => Err(KvError::KeyIllegal(text.into_owned())),
            _ => {
                check_key_length(&text)?;
                Ok(Self(text))
            }
        }
    }

    /// Decodes a path segment, once, and checks the key.
    pub(crate) fn decode(raw: &'a str) -> Result<Self, KvError> {
        let is_escape = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
        let bytes = raw.as_bytes();
        let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
        if !escapes.all(|(index, _)| is_escape(&bytes[index + 1..])) {
            return Err(KvError::KeyEncoding);
        }
        Self::parse(percent_decode_str(raw).decode_utf8().map_err(|_utf8| KvError::KeyEncoding)?)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_owned(self) -> Key<'static> {
        Key(Cow::Owned(self.0.into_owned()))
    }
}

fn check_key_length(text: &str) -> Result<(), KvError> {
    if KEY_BYTES_MAX < text.len() { Err(KvError::KeyTooLong { bytes: text.len() }) } else { Ok(()) }
}

/// What a key carries beside its value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    /// The second at which the key is gone.
    pub(crate) expires_s: Option<u64>,
    pub(crate) metadata: Option<Metadata>,
}

/// JSON text of at most [`METADATA_BYTES_MAX`], kept as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata(String);

impl Metadata {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KvError> {
        if METADATA_BYTES_MAX < bytes.len() {
            return Err(KvError::MetadataTooLong { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_utf8| KvError::MetadataInvalid)?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_json| KvError::MetadataInvalid)?;
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Works out when a key expires; a time to live wins over a time, as at Cloudflare.
pub(crate) fn parse_expiry(
    expiration: Option<&str>,
    expiration_ttl: Option<&str>,
    now_s: u64,
) -> Result<Option<u64>, KvError> {
    // SQLite's integers are signed.
    let parse = |text: &str| text.parse().ok().filter(|number: &u64| i64::try_from(*number).is_ok());
    if let Some(given) = expiration_ttl {
        let ttl_s = parse(given).filter(|ttl_s| *ttl_s > 0);
        let ttl_s = ttl_s.ok_or_else(|| KvError::ExpirationTtlInvalid(given.to_owned()))?;
        if ttl_s < EXPIRATION_TTL_S_MIN {
            return Err(KvError::ExpirationTtlTooShort(given.to_owned()));
        }
        let expires_s = now_s.checked_add(ttl_s).filter(|sum| i64::try_from(*sum).is_ok());
        return expires_s.map(Some).ok_or_else(|| KvError::ExpirationTtlInvalid(given.to_owned()));
    }
    let Some(given) = expiration else { return Ok(None) };
    let expires_s = parse(given).filter(|expires_s| now_s < *expires_s);
    let expires_s = expires_s.ok_or_else(|| KvError::ExpirationInvalid(given.to_owned()))?;
    if expires_s < now_s + EXPIRATION_TTL_S_MIN {
        return Err(KvError::ExpirationTooSoon(given.to_owned()));
    }
    Ok(Some(expires_s))
}

/// Which keys to list.
#[derive(Debug, Clone)]
pub(crate) struct ListQuery {
    // At most KEY_BYTES_MAX long.
    prefix: String,
    after: Option<String>,
    // Between 1 and LIST_KEYS_MAX.
    limit: usize,
}

impl ListQuery {
    /// Checks what a caller asks for; `parameter` is what the door calls the limit.
    pub(crate) fn parse(
        namespace: &str,
        prefix: Option<&str>,
        cursor: Option<&str>,
        parameter: &'static str,
        limit: Option<&str>,
    ) -> Result<Self, KvError> {
        let limit = match limit {
            None => LIST_KEYS_MAX,
            Some(given) => match given.parse::<usize>() {
                Ok(limit) if (1..=LIST_KEYS_MAX).contains(&limit) => limit,
                Ok(limit) if LIST_KEYS_MAX < limit => {
                    return Err(KvError::LimitTooLarge { parameter, given: given.to_owned() });
                }
                _ => return Err(KvError::LimitTooSmall { parameter, given: given.to_owned() }),
            },
        };
        let prefix = prefix.unwrap_or_default();
        check_key_length(prefix)?;
        // Clients send an empty cursor for the first page.
        let after = cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| open_cursor(namespace, cursor));
        Ok(Self { prefix: prefix.to_owned(), after: after.transpose()?, limit })
    }

    /// The least key that can be on the page.
    pub(crate) fn lower_bound(&self) -> Vec<u8> {
        let prefix = self.prefix.as_bytes().to_vec();
        // Nothing lies between a text and itself followed by a zero.
        let after = self.after.as_ref().map(|after| [after.as_bytes(), &[0]].concat());
        after.map_or_else(|| prefix.clone(), |after| after.max(prefix.clone()))
    }

    /// The least text beyond all keys with the prefix.
    pub(crate) fn upper_bound(&self) -> Vec<u8> {
        let mut bytes = self.prefix.as_bytes().to_vec();
        // UTF-8 has no 0xFF: the last byte has a successor, and 0xFF alone is beyond every text.
        match bytes.last_mut() {
            Some(last) => *last += 1,
            None => bytes.push(0xFF),
        }
        bytes
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

/// One page of keys.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) keys: Vec<ListedKey>,
    /// Where the next page begins, unless this is the last.
    pub(crate) cursor: Option<String>,
}

/// A key as lists show it.
#[derive(Debug, Clone)]
pub(crate) struct ListedKey {
    pub(crate) name: String,
    pub(crate) expires_s: Option<u64>,
    pub(crate) metadata: Option<String>,
}

/// Bytes of a cursor that tell ours from foreign ones.
const CURSOR_MARK_BYTES: usize = 6;

/// Makes the cursor that resumes after `key`.
pub(crate) fn seal_cursor(namespace: &str, key: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([&cursor_mark(namespace, key), key.as_bytes()].concat())
}

fn open_cursor(namespace: &str, cursor: &str) -> Result<String, KvError> {
    let open = || {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (mark, key) = bytes.split_first_chunk::<CURSOR_MARK_BYTES>()?;
        let key = std::str::from_utf8(key).ok()?;
        (*mark == cursor_mark(namespace, key)).then(|| key.to_owned())
    };
    open().ok_or(KvError::CursorInvalid)
}

/// Ties a cursor to its namespace. Not a secret: a forged cursor gives nothing that a prefix would not.
fn cursor_mark(namespace: &str, key: &str) -> [u8; CURSOR_MARK_BYTES] {
    let digest = Sha256::new().chain_update(namespace).chain_update([0]).chain_update(key).finalize();
    let mut mark = [0; CURSOR_MARK_BYTES];
    mark.copy_from_slice(&digest[..CURSOR_MARK_BYTES]);
    mark
}

#[cfg(test)]
mod tests {
    use super::{Key, ListQuery, parse_expiry, seal_cursor};

    #[test]
    fn keys_are_decoded_once() {
        for (raw, key) in
            [("a%2Fb%20c", "a/b c"), ("a%252Fb", "a%2Fb"), ("%C3%BC", "ü"), ("ü", "ü"), ("a+b", "a+b")]
        {
            assert_eq!(Key::decode(raw).unwrap().as_str(), key);
        }
        for wrong in ["%", "a%2", "%zz", "%FF", "", "%2E", "%2E%2E"] {
            assert!(Key::decode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn expiry_has_a_floor_of_sixty_seconds() {
        let now = 1_000_000;
        let check = |expiration, ttl| parse_expiry(expiration, ttl, now).map_err(|error| error.to_string());
        assert_eq!(check(None, None), Ok(None));
        assert_eq!(check(None, Some("60")), Ok(Some(1_000_060)));
        assert_eq!(check(Some("1000060"), None), Ok(Some(1_000_060)));
        assert_eq!(check(Some("1"), Some("61")), Ok(Some(1_000_061)), "the time to live wins");
        for ttl in ["59", "0", "-1", "x", "", "9223372036854775807"] {
            assert!(check(None, Some(ttl)).is_err(), "{ttl}");
        }
        for expiration in ["1000059", "1000000", "0", "-1", "x", "18446744073709551615"] {
            assert!(check(Some(expiration), None).is_err(), "{expiration}");
        }
    }

    #[test]
    fn a_list_is_bounded_by_its_prefix_and_its_cursor() {
        let cursor = seal_cursor("ns", "ab");
        let bounds = |prefix, cursor| {
            let query = ListQuery::parse("ns", prefix, cursor, "limit", None).unwrap();
            (query.lower_bound(), query.upper_bound())
        };
        assert_eq!(bounds(None, None), (vec![], vec![0xFF]));
        assert_eq!(bounds(Some("a"), None), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(bounds(Some("a"), Some(&cursor)), (b"ab\0".to_vec(), b"b".to_vec()));
        assert_eq!(bounds(Some("b"), Some(&cursor)), (b"b".to_vec(), b"c".to_vec()));
        for foreign in [seal_cursor("other", "ab"), "garbage".to_owned(), "%%%".to_owned()] {
            assert!(ListQuery::parse("ns", None, Some(&foreign), "limit", None).is_err(), "{foreign}");
        }
    }
}
