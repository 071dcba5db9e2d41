//! An R2 bucket as others know it: its name, the one word by which bindings, the API and S3 clients mean it, and the hosts
//! that it is given in zones.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The text was not a name that R2 accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a valid bucket name: use 3 to 63 lower-case letters, digits and dashes, beginning and ending with a letter or digit"
)]
pub struct BucketNameError(pub String);

/// A bucket's name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

impl BucketName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = BucketNameError;

    fn from_str(text: &str) -> Result<Self, BucketNameError> {
        let bytes = text.as_bytes();
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
        let is_valid = (3..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && is_edge(bytes.first())
            && is_edge(bytes.last());
        if is_valid { Ok(Self(text.to_owned())) } else { Err(BucketNameError(text.to_owned())) }
    }
}

impl TryFrom<String> for BucketName {
    type Error = BucketNameError;

    fn try_from(text: String) -> Result<Self, BucketNameError> {
        text.parse()
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which bucket: one of the same name that is made later has another id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// 32 hex digits.
    pub id: String,
    /// As Workers name it.
    pub name: String,
}

/// A host at which anybody reads a bucket.
#[derive(Debug, Clone)]
pub struct BucketDomain {
    /// In lower case.
    pub hostname: String,
    /// The zone it is in.
    pub zone_id: String,
    /// That zone's name.
    pub zone_name: String,
    /// What is read there.
    pub bucket: BucketPlace,
    /// Nobody answers while it is not.
    pub is_enabled: bool,
    /// The oldest TLS that its owner wants spoken there.
    pub min_tls: String,
}

/// A host that somebody wants for a bucket.
#[derive(Debug, Clone)]
pub struct NewBucketDomain {
    /// In any case.
    pub hostname: String,
    /// The zone; that of the host, if it is not said.
    pub zone_id: Option<String>,
    /// What is to be read there.
    pub bucket: BucketPlace,
    /// Whether it answers.
    pub is_enabled: bool,
    /// The oldest TLS to be spoken there.
    pub min_tls: String,
}

#[cfg(test)]
mod tests {
    use super::BucketName;

    #[test]
    fn bucket_names_follow_cloudflares_rules() {
        let long = "a".repeat(63);
        for right in ["abc", "a-b", "123", long.as_str()] {
            assert!(right.parse::<BucketName>().is_ok(), "{right}");
        }
        let longer = "a".repeat(64);
        for wrong in ["", "ab", "-ab", "ab-", "Abc", "a.b", "a_b", "a/b", "äbc", longer.as_str()] {
            assert!(wrong.parse::<BucketName>().is_err(), "{wrong}");
        }
    }
}
