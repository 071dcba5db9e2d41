//! One certificate with its key: read from PEM files, checked, and asked for whom and until when it is good.
//!
//! rustls checks that chain and key belong together, but tells neither names nor expiry; those are read with x509-parser,
//! which rcgen needs for the development authority anyway.

use std::{fmt, fs, io, ops::RangeInclusive, path::PathBuf, sync::Arc};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// A certificate's two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(crate) names: Names,
    pub(crate) not_before_unix_secs: i64,
    pub(crate) not_after_unix_secs: i64,
    pub(crate) key: Arc<CertifiedKey>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("read `{0}`: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// A file holds nothing of the kind.
    #[error("`{0}` holds no {1} in PEM")]
    Content(PathBuf, &'static str),
    /// The certificate is not one, or names no host.
    #[error("the certificate in `{0}` {1}")]
    Unfit(PathBuf, &'static str),
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    #[error("the key in `{}` does not serve the certificate in `{}`: {source}", files.key.display(), files.cert.display())]
    Key {
        /// Both.
        files: CertificateFiles,
        /// What rustls says.
        source: rustls::Error,
    },
}

impl CertificateFiles {
    /// Reads and checks both. Blocks on the disk.
    pub fn read(&self) -> Result<Certificate, CertificateError> {
        let pem =
            |path: &PathBuf| fs::read(path).map_err(|error| CertificateError::Read(path.clone(), error));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem(&self.cert)?).collect();
        let chain = chain.unwrap_or_default();
        let Some(first) = chain.first() else {
            return Err(CertificateError::Content(self.cert.clone(), "certificate"));
        };
        let unfit = |what| CertificateError::Unfit(self.cert.clone(), what);
        let Facts { names, not_before_unix_secs, not_after_unix_secs } =
            facts(first).ok_or_else(|| unfit("is not an X.509 certificate"))?;
        if names.is_empty() {
            return Err(unfit("names no host in its subjectAltName"));
        }
        let Ok(key) = PrivateKeyDer::from_pem_slice(&pem(&self.key)?) else {
            return Err(CertificateError::Content(self.key.clone(), "private key"));
        };
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|source| CertificateError::Key { files: self.clone(), source })?;
        Ok(Certificate { names, not_before_unix_secs, not_after_unix_secs, key: Arc::new(key) })
    }
}

impl Certificate {
    /// The hosts that it is for.
    #[must_use]
    pub fn names(&self) -> String {
        self.names.to_string()
    }

    /// Whether it is good for a host.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.cover(host)
    }

    /// From when to when it is valid, in seconds since 1970.
    #[must_use]
    pub fn validity(&self) -> RangeInclusive<i64> {
        self.not_before_unix_secs..=self.not_after_unix_secs
    }

    /// Whole days until it expires; negative once it has.
    #[must_use]
    pub fn days_left(&self, now_unix_secs: u64) -> i64 {
        let now = i64::try_from(now_unix_secs).unwrap_or(i64::MAX);
        self.not_after_unix_secs.saturating_sub(now).div_euclid(24 * 60 * 60)
    }
}

/// The hosts of a certificate, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) exact: Vec<String>,
    /// `example.com` for `*.example.com`.
    pub(crate) wildcards: Vec<String>,
}

impl Names {
    pub(crate) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut found = Self::default();
        for name in names {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => found.wildcards.push(parent.to_owned()),
                None => found.exact.push(name),
            }
        }
        found
    }

    /// Whether the certificate is good for a host: by its whole name, or with one label in place of the star (RFC 9525
    /// section 6.3).
    pub(crate) fn cover(&self, host: &str) -> bool {
        let is = |name: &String| name.eq_ignore_ascii_case(host);
        let parent_is = |parent: &String| {
            host.split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && parent.eq_ignore_ascii_case(rest))
        };
        self.exact.iter().any(is) || self.wildcards.iter().any(parent_is)
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }
}

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcards = self.wildcards.iter().map(|parent| format!("*.{parent}"));
        let all: Vec<String> = self.exact.iter().cloned().chain(wildcards).collect();
        formatter.write_str(&all.join(", "))
    }
}

/// What rustls does not tell of a certificate.
struct Facts {
    names: Names,
    not_before_unix_secs: i64,
    not_after_unix_secs: i64,
}

/// `None` for what is no certificate.
fn facts(der: &CertificateDer<'_>) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names =
        alternatives.iter().flat_map(|found| &found.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    let validity = certificate.validity();
    Some(Facts {
        names: Names::of(names),
        not_before_unix_secs: validity.not_before.timestamp(),
        not_after_unix_secs: validity.not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_star_stands_for_one_label() {
        let names = Names::of(["Example.com".to_owned(), "*.example.com".to_owned()]);
        for host in ["example.com", "EXAMPLE.com", "a.example.com", "A.Example.Com"] {
            assert!(names.cover(host), "{host}");
        }
        for host in ["a.b.example.com", ".example.com", "com", "example.org", "", "xexample.com"] {
            assert!(!names.cover(host), "{host}");
        }
        assert_eq!(names.to_string(), "example.com, *.example.com");
    }
}
