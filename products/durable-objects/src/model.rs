//! Words and limits: how objects are named, and what an answer about them may hold.

use std::time::Duration;

use ::model::ObjectNamespaceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::ObjectsError;

/// Objects on a page if nothing is said, and at most (Cloudflare: API reference, list Objects).
pub(crate) const OBJECTS_LISTED_DEFAULT: usize = 1_000;
/// See [`OBJECTS_LISTED_DEFAULT`].
pub(crate) const OBJECTS_LISTED_MAX: usize = 10_000;
/// Longest statement of a query (Cloudflare: Durable Objects limits, SQL statement length).
pub(crate) const SQL_BYTES_MAX: usize = 100 * 1024;
/// Rows in the answer to a query; more are cut off, and the answer says so.
pub(crate) const ROWS_MAX: usize = 1_000;
/// Bytes of text and blobs in the answer to a query; more are cut off, and the answer says so.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a query may run: it holds a thread, and the object's log cannot be wound up meanwhile.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys and tables shown of one object.
pub(crate) const SHOWN_MAX: usize = 1_000;
/// Queries and looks into objects at a time; further ones wait.
pub(crate) const LOOKS_MAX: usize = 4;

/// Backups and restores at a time; further ones wait.
pub(crate) const TRANSFERS_MAX: usize = 2;
/// How long the next piece of an archive that is restored may take.
pub(crate) const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a restore waits for the process of the Worker to end.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an object's id that say which it is; as many follow that prove that the id is of this namespace.
const ID_BASE_BYTES: usize = 16;

/// The id of an object: 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId(String);

impl ObjectId {
    /// Reads the 64 digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The id, or, of anything but 64 digits, the id of the object with that name.
    pub(crate) fn of(namespace: &ObjectNamespaceId, id_or_name: &str) -> Result<Self, ObjectsError> {
        if id_or_name.is_empty() {
            return Err(ObjectsError::Invalid("an object is named by its id or its name".to_owned()));
        }
        Ok(Self::parse(id_or_name).unwrap_or_else(|| Self::from_name(namespace, id_or_name)))
    }

    /// What `idFromName` makes of a name: workerd derives it from the namespace's key and nothing else.
    fn from_name(namespace: &ObjectNamespaceId, name: &str) -> Self {
        let key = Sha256::digest(namespace.as_str());
        let base = &keyed_hash(&key, name.as_bytes())[..ID_BASE_BYTES];
        let proof = &keyed_hash(&key, base)[..ID_BASE_BYTES];
        Self(hex::encode([base, proof].concat()))
    }

    /// Whether it was made for this namespace: workerd takes no other.
    pub(crate) fn is_of(&self, namespace: &ObjectNamespaceId) -> bool {
        let key = Sha256::digest(namespace.as_str());
        let Ok(bytes) = hex::decode(&self.0) else { return false };
        let (base, proof) = bytes.split_at(ID_BASE_BYTES);
        keyed_hash(&key, base)[..ID_BASE_BYTES] == *proof
    }

    /// The 64 digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of the files in which workerd keeps an object: `<id>.sqlite`, and of its facets `<id>.<number>.sqlite` and their
/// list, `<id>.facets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectFile {
    name: String,
    id: ObjectId,
}

impl ObjectFile {
    /// Reads a file's name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (id, rest) = name.split_once('.')?;
        let is_facet = |rest: &str| {
            let number = rest.strip_suffix(".sqlite").unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_one = rest == "sqlite" || rest == "facets" || is_facet(rest);
        Some(Self { name: name.to_owned(), id: ObjectId::parse(id).filter(|_| is_one)? })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose it is.
    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Whether it is the object's own database.
    pub(crate) fn is_main(&self) -> bool {
        self.name.len() == self.id.as_str().len() + ".sqlite".len() && self.is_database()
    }

    /// Whether it is a database.
    pub(crate) fn is_database(&self) -> bool {
        self.name.ends_with(".sqlite")
    }
}

fn keyed_hash(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hash.update(message);
    hash.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::{ObjectFile, ObjectId};

    #[test]
    fn a_name_has_the_id_that_workerd_gives_it() {
        let namespace = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let id = ObjectId::of(&namespace, "x").unwrap();
        // Seen with workerd 2026-11-17.
        assert_eq!(id.as_str(), "ab4f4e3ba6ec75b72f900f4dfd6b8a717e8b70f86a7bd0ac637681744b2d9a58");
        assert_eq!(ObjectId::of(&namespace, id.as_str()).unwrap(), id);
        assert!(id.is_of(&namespace));
        assert!(!id.is_of(&"0123456789abcdef0123456789abcde0".parse().unwrap()));
    }

    #[test]
    fn files_of_objects_are_known_by_their_names() {
        let id = "ab".repeat(32);
        for (rest, is_main) in [(".sqlite", true), (".7.sqlite", false), (".facets", false)] {
            let file = ObjectFile::parse(&format!("{id}{rest}")).unwrap();
            assert_eq!((file.is_main(), file.id().as_str()), (is_main, id.as_str()), "{rest}");
        }
        for name in [".sqlite-wal", ".x.sqlite", "..sqlite", ".facets.sqlite", "", "/../a.sqlite"] {
            assert_eq!(ObjectFile::parse(&format!("{id}{name}")), None, "{name}");
        }
        assert_eq!(ObjectFile::parse("metadata.sqlite"), None);
    }
}
