//! R2's words and limits: buckets, keys, objects and what they carry. Nothing here knows a table or a protocol.

mod conditions;
mod cors;
mod hosts;
mod lifecycle;
mod list;
mod range;

pub(crate) use conditions::{Conditions, Etag, EtagMatch};
pub(crate) use cors::{Allowed, Cors, CorsRule};
pub(crate) use hosts::{Hosts, managed_host};
pub(crate) use lifecycle::{
    ClassTransition, Conditions as LifecycleConditions, Lifecycle, LifecycleRule, Moment, Transition,
};
pub(crate) use list::{After, ListQuery, Listed, Page, beyond};
pub(crate) use range::{Range, Span};

use md5::{Digest, Md5};
use model::BucketName;
use serde::{Deserialize, Serialize};

use crate::R2Error;

/// Longest key, in UTF-8 bytes (Cloudflare: R2 limits page, as all limits here that name no other source).
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// Largest object of one put, and largest part: 5 GiB less 5 MiB.
pub(crate) const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 - 5 * 1024 * 1024;

/// Largest object of several parts: 5 TiB less 5 GiB.
pub(crate) const MULTIPART_BYTES_MAX: u64 = 5 * 1024 * (1024 * 1024 * 1024) - 5 * 1024 * 1024 * 1024;

/// Most bytes of custom metadata, names and values together; and of HTTP metadata, where no source gives a limit.
pub(crate) const METADATA_BYTES_MAX: usize = 8192;

/// Most objects and common prefixes of one page, and the page's size if none is asked for.
pub(crate) const LIST_MAX: usize = 1000;

/// Most objects deleted by one call.
pub(crate) const DELETE_KEYS_MAX: usize = 1000;

/// Most parts of an upload, and the highest part number.
pub(crate) const PARTS_MAX: u32 = 10_000;

/// Smallest part that is not the last.
pub(crate) const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// Most buckets of an account.
pub(crate) const BUCKETS_MAX: usize = 1_000_000;

/// The name of a bucket, by R2's rules.
pub(crate) fn bucket_name(text: &str) -> Result<BucketName, R2Error> {
    text.parse().map_err(|_malformed| R2Error::BucketNameInvalid)
}

/// A digest as a caller gave it, if it could be read and is as long as the algorithm's are.
pub(crate) fn digest(
    algorithm: &'static str,
    given: Option<Vec<u8>>,
    length: usize,
) -> Result<Vec<u8>, R2Error> {
    given.filter(|bytes| bytes.len() == length).ok_or(R2Error::DigestInvalid(algorithm))
}

/// What a bucket holds; unfinished uploads do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The bucket's name.
    pub bucket: String,
    /// Where it lies: `default`, or what Cloudflare's data location names.
    pub jurisdiction: String,
    /// How many objects there are.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Bytes of their keys, their HTTP metadata and their custom metadata.
    pub metadata_bytes: u64,
}

/// A bucket as the account lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) name: BucketName,
    /// 32 hex digits, for hosts; a bucket of the same name made later has another.
    pub(crate) id: String,
    pub(crate) created_ms: u64,
    pub(crate) location: Option<String>,
    pub(crate) jurisdiction: String,
    pub(crate) storage_class: StorageClass,
}

/// Where an object's bytes are meant to lie. Here both mean the same disk; the word is kept and told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StorageClass {
    #[default]
    Standard,
    InfrequentAccess,
}

impl StorageClass {
    pub(crate) fn parse(text: &str) -> Result<Self, R2Error> {
        match text {
            "Standard" => Ok(Self::Standard),
            "InfrequentAccess" => Ok(Self::InfrequentAccess),
            // Quoted in a header of the answer, hence cut.
            other => Err(R2Error::StorageClassInvalid(other.chars().take(64).collect())),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::InfrequentAccess => "InfrequentAccess",
        }
    }
}

/// A key that passed R2's rules: any text of 1 to [`KEY_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(text: impl Into<String>) -> Result<Self, R2Error> {
        let text = text.into();
        if text.is_empty() || KEY_BYTES_MAX < text.len() { Err(R2Error::KeyInvalid) } else { Ok(Self(text)) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The headers that an object's readers get back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    /// `Expires`, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_expiry: Option<u64>,
}

impl HttpMetadata {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self {
        content_type: None,
        content_language: None,
        content_disposition: None,
        content_encoding: None,
        cache_control: None,
        cache_expiry: None,
    };
}

/// Names and values of the user's own, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CustomMetadata(Vec<(String, String)>);

impl CustomMetadata {
    pub(crate) fn parse(pairs: Vec<(String, String)>) -> Result<Self, R2Error> {
        let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if METADATA_BYTES_MAX < bytes { Err(R2Error::MetadataTooLarge) } else { Ok(Self(pairs)) }
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// What an object carries beside its bytes, as its writer says it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    pub(crate) http: HttpMetadata,
    pub(crate) custom: CustomMetadata,
    /// `None` takes the bucket's.
    pub(crate) storage_class: Option<StorageClass>,
}

impl Attributes {
    /// Checks that what the writer says is of a size that can be told again.
    pub(crate) fn new(
        http: HttpMetadata,
        custom: CustomMetadata,
        storage_class: Option<StorageClass>,
    ) -> Result<Self, R2Error> {
        let texts = [
            &http.content_type,
            &http.content_language,
            &http.content_disposition,
            &http.content_encoding,
            &http.cache_control,
        ];
        let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
        if METADATA_BYTES_MAX < bytes {
            return Err(R2Error::MetadataTooLarge);
        }
        Ok(Self { http, custom, storage_class })
    }
}

/// Checksums in lower-case hex that the writer asked to be kept. An MD5 stands in the etag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha384: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha512: Option<String>,
}

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// 32 hex digits; each put makes a new one.
    pub(crate) version: String,
    pub(crate) size: u64,
    /// Without quotes: the MD5 in hex, or for several parts the MD5 of their MD5s, a dash and their number.
    pub(crate) etag: String,
    pub(crate) uploaded_ms: u64,
    pub(crate) storage_class: StorageClass,
    /// MD5 of the customer's key, if the bytes are encrypted with one.
    pub(crate) ssec_key_md5: Option<[u8; 16]>,
    pub(crate) checksums: Checksums,
    pub(crate) http: HttpMetadata,
    pub(crate) custom: CustomMetadata,
}

impl Object {
    /// The MD5 of the whole body, in hex, unless it came in parts.
    pub(crate) fn md5(&self) -> Option<&str> {
        (!self.etag.contains('-')).then_some(self.etag.as_str())
    }
}

/// A key of the customer's (SSE-C), by which bytes are encrypted and decrypted. It is never kept.
#[derive(Clone)]
pub(crate) struct CustomerKey([u8; 32]);

impl CustomerKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Reads 64 hex digits.
    pub(crate) fn parse(hex: &str) -> Result<Self, R2Error> {
        let mut key = [0; 32];
        hex::decode_to_slice(hex, &mut key).map_err(|_malformed| R2Error::CustomerKeyInvalid)?;
        Ok(Self(key))
    }

    /// By which a key is recognised.
    pub(crate) fn md5(&self) -> [u8; 16] {
        Md5::digest(self.0).into()
    }

    pub(crate) fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CustomerKey(…)")
    }
}

/// A multipart upload that takes parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) started_ms: u64,
    pub(crate) storage_class: StorageClass,
}

/// The number of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartNumber(u32);

impl PartNumber {
    pub(crate) fn parse(number: i64) -> Result<Self, R2Error> {
        let number = u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number));
        number.map(Self).ok_or(R2Error::PartNumberInvalid)
    }

    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

/// A part that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u32,
    /// The MD5 in hex.
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) uploaded_ms: u64,
}

/// A part as the caller who completes an upload names it.
#[derive(Debug, Clone)]
pub(crate) struct NamedPart {
    pub(crate) number: PartNumber,
    pub(crate) etag: String,
}
