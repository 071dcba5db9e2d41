//! What to list, and a page of it: keys and common prefixes in one order, that of their bytes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    R2Error,
    model::{LIST_MAX, Object},
};

/// Which keys to list.
#[derive(Debug, Clone)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    /// Keys that go on to hold this behind the prefix are told as one common prefix. Never empty.
    pub(crate) delimiter: Option<String>,
    /// Where to begin; the furthest counts.
    pub(crate) after: Vec<After>,
    // At most LIST_MAX.
    limit: usize,
}

/// A place in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// Behind this text.
    Key(String),
    /// Behind every key that begins with this text.
    Prefix(String),
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Listed>,
    /// Whether there is more behind the last entry.
    pub(crate) is_truncated: bool,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    Object(Box<Object>),
    Prefix(String),
}

impl Listed {
    /// The place from which a next page goes on.
    pub(crate) fn place(&self) -> After {
        match self {
            Self::Object(object) => After::Key(object.key.clone()),
            Self::Prefix(prefix) => After::Prefix(prefix.clone()),
        }
    }
}

impl ListQuery {
    /// All keys that begin with `prefix`.
    pub(crate) fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), delimiter: None, after: Vec::new(), limit: LIST_MAX }
    }

    /// Checks a page's size.
    pub(crate) fn with_limit(self, limit: i64) -> Result<Self, R2Error> {
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=LIST_MAX).contains(limit));
        Ok(Self { limit: limit.ok_or(R2Error::MaxKeysInvalid)?, ..self })
    }

    /// Folds keys at this text, unless it is empty.
    pub(crate) fn with_delimiter(self, delimiter: Option<String>) -> Self {
        Self { delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()), ..self }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The least key that can be listed.
    pub(crate) fn lower_bound(&self) -> Vec<u8> {
        let places = self.after.iter().map(After::lower_bound);
        places.fold(self.prefix.as_bytes().to_vec(), Vec::max)
    }

    /// The least text beyond all keys that can be listed.
    pub(crate) fn upper_bound(&self) -> Vec<u8> {
        beyond(&self.prefix)
    }

    /// The common prefix under which a key with our prefix falls.
    pub(crate) fn fold<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.get(self.prefix.len()..)?;
        let delimiter = self.delimiter.as_deref()?;
        let at = rest.find(delimiter)?;
        key.get(..self.prefix.len() + at + delimiter.len())
    }
}

impl After {
    fn lower_bound(&self) -> Vec<u8> {
        match self {
            // Nothing lies between a text and itself followed by a zero.
            Self::Key(key) => [key.as_bytes(), &[0]].concat(),
            Self::Prefix(prefix) => beyond(prefix),
        }
    }

    /// Makes the cursor that goes on from here.
    pub(crate) fn seal(&self) -> String {
        let (mark, text) = match self {
            Self::Key(key) => (b'k', key),
            Self::Prefix(prefix) => (b'p', prefix),
        };
        BASE64_URL_SAFE_NO_PAD.encode([&[mark], text.as_bytes()].concat())
    }

    /// Reads a cursor. Not a secret: a forged one gives nothing that a start would not.
    pub(crate) fn open(cursor: &str) -> Result<Self, R2Error> {
        let open = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (mark, text) = bytes.split_first()?;
            let text = std::str::from_utf8(text).ok()?.to_owned();
            match mark {
                b'k' => Some(Self::Key(text)),
                b'p' => Some(Self::Prefix(text)),
                _ => None,
            }
        };
        open().ok_or(R2Error::CursorInvalid)
    }
}

/// The least text beyond all that begin with `prefix`.
pub(crate) fn beyond(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    // UTF-8 has no 0xFF: the last byte has a successor, and 0xFF alone is beyond every text.
    match bytes.last_mut() {
        Some(last) => *last += 1,
        None => bytes.push(0xFF),
    }
    bytes
}
