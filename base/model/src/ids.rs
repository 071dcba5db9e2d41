//! Identifiers. Cloudflare writes accounts, namespaces and tokens as 32 hex digits, versions and deployments as
//! hyphenated UUIDs; both kinds are random, so that an identifier in a host name tells nothing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text was not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind} identifier")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Draws a new identifier.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4().simple().to_string())
            }

            /// The 32 hex digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let is_valid = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if is_valid { Ok(Self(text.to_owned())) } else { Err(IdError { kind: $kind, text: text.to_owned() }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// Draws a new identifier.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The first eight hex digits, as preview host names carry them.
            #[must_use]
            pub fn prefix(&self) -> String {
                self.simple()[..8].to_owned()
            }

            /// All 32 hex digits without hyphens.
            #[must_use]
            pub fn simple(&self) -> String {
                self.0.simple().to_string()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads both spellings, with and without hyphens: clients use either.
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError { kind: $kind, text: text.to_owned() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), formatter)
            }
        }
    };
}

hex_id!(
    /// The one account of this installation.
    AccountId,
    "account"
);
hex_id!(
    /// A KV namespace.
    NamespaceId,
    "namespace"
);
hex_id!(
    /// A Durable Object namespace: what the ids of its objects are derived from and its folder is called, whatever the
    /// class is called meanwhile.
    ObjectNamespaceId,
    "Durable Object namespace"
);
hex_id!(
    /// The immutable name of a Worker, under which its Durable Objects are kept.
    ScriptTag,
    "script"
);
hex_id!(
    /// An API token; the token's secret text is never kept.
    TokenId,
    "token"
);
uuid_id!(
    /// One immutable version of a Worker.
    VersionId,
    "version"
);
uuid_id!(
    /// One decision which versions of a Worker answer requests, and in which proportion.
    DeploymentId,
    "deployment"
);

uuid_id!(
    /// A D1 database.
    DatabaseId,
    "database"
);

#[cfg(test)]
mod tests {
    use super::{NamespaceId, VersionId};

    #[test]
    fn hex_identifiers_are_32_lower_case_digits() {
        assert!("0123456789abcdef0123456789abcdef".parse::<NamespaceId>().is_ok());
        for wrong in ["", "0123", "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcdeg"] {
            assert!(wrong.parse::<NamespaceId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_version_is_read_with_and_without_hyphens() {
        let version = VersionId::random();
        assert_eq!(version.to_string().parse(), Ok(version));
        assert_eq!(version.to_string().replace('-', "").parse(), Ok(version));
        assert!(version.to_string().starts_with(&version.prefix()));
    }
}
