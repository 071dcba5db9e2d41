//! The development authority: a key and a certificate in the data folder, made once, that sign for `localhost`, for the base
//! domain and for what is below them. Its name constraints allow nothing else, so whoever trusts it risks little.
//!
//! Each host gets a certificate of its own when it is first asked for, since OpenSSL and with it curl do not accept a star
//! directly below a name of one label (`*.localhost`). These live in memory only.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber,
};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};
use tasks::Clock;
use time::OffsetDateTime;
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use super::{
    TlsError,
    certificate::{Certificate, Names},
};
use crate::limits::DEVELOPMENT_HOSTS_MAX;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Long, since trusting a new authority is work for a person.
const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// An authority closer to its end than this is replaced at the next start.
const AUTHORITY_LEFT_WANTED: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// As public authorities do; Apple's systems accept 825 days at most.
const HOST_VALID: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A host's certificate is renewed when less than this is left.
const HOST_LEFT_WANTED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Signs for the hosts below its domains.
pub(crate) struct Authority {
    domains: Vec<String>,
    pub(crate) path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// One key for all hosts: drawing one for each would add nothing.
    host_key: KeyPair,
    host_signer: Arc<dyn SigningKey>,
    issued: Mutex<HashMap<String, Certificate>>,
    clock: Clock,
}

impl Authority {
    /// Reads the authority of a data folder, or makes it.
    pub(crate) fn open(data: &Path, base_domain: &str, clock: Clock) -> Result<Self, TlsError> {
        let mut domains = vec!["localhost".to_owned()];
        if base_domain != "localhost" {
            domains.push(base_domain.to_owned());
        }
        let folder = data.join("tls");
        store::create_folder(&folder).map_err(|error| TlsError::Authority(error.to_string()))?;
        let path = folder.join("ca.pem");
        let (pem, key) = match read(&folder)? {
            Some((pem, key)) if is_fit(&pem, &domains, &clock) => (pem, key),
            Some(_) => {
                tracing::warn!(path = %path.display(), "The development authority ends within a year or does not cover the base domain; the new one has to be trusted anew");
                make(&folder, &domains, &clock)?
            }
            None => make(&folder, &domains, &clock)?,
        };
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(unusable)?;
        let host_key = KeyPair::generate().map_err(unusable)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(host_key.serialize_der()));
        let host_signer = any_supported_type(&der).map_err(unusable)?;
        Ok(Self { domains, path, issuer, host_key, host_signer, issued: Mutex::default(), clock })
    }

    /// A certificate for a host in lower case; `None` if the host is not below the authority's domains.
    pub(crate) fn certificate(&self, host: &str) -> Option<Certificate> {
        let is_below = |domain: &String| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !self.domains.iter().any(is_below) {
            return None;
        }
        let issued = || self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.clock.unix_secs() + HOST_LEFT_WANTED.as_secs();
        if let Some(found) = issued().get(host).filter(|found| 0 <= found.days_left(wanted)) {
            return Some(found.clone());
        }
        let certificate = match self.issue(host) {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::debug!(host, %error, "No development certificate for this host");
                return None;
            }
        };
        let mut issued = issued();
        // Hosts come from visitors. Starting over is cheap: a signature takes a tenth of a millisecond.
        if DEVELOPMENT_HOSTS_MAX <= issued.len() {
            issued.clear();
        }
        issued.insert(host.to_owned(), certificate.clone());
        Some(certificate)
    }

    fn issue(&self, host: &str) -> Result<Certificate, rcgen::Error> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        set_validity(&mut params, &self.clock, HOST_VALID);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Skerry development certificate");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&self.host_key, &self.issuer)?;
        let key = CertifiedKey::new(vec![signed.der().clone()], Arc::clone(&self.host_signer));
        Ok(Certificate {
            names: Names::of([host.to_owned()]),
            not_before_unix_secs: params.not_before.unix_timestamp(),
            not_after_unix_secs: params.not_after.unix_timestamp(),
            key: Arc::new(key),
        })
    }
}

/// What lies in the folder, if both files do.
fn read(folder: &Path) -> Result<Option<(String, KeyPair)>, TlsError> {
    let text = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(format!("read `{}`: {error}", folder.join(name).display()))),
    };
    let (Some(pem), Some(key)) = (text("ca.pem")?, text("ca.key")?) else { return Ok(None) };
    let key = KeyPair::from_pem(&key)
        .map_err(|error| unusable(format!("`{}`: {error}", folder.join("ca.key").display())))?;
    Ok(Some((pem, key)))
}

/// Whether an authority lasts and may sign for all `domains`.
fn is_fit(pem: &str, domains: &[String], clock: &Clock) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let wanted = clock.unix_secs().saturating_add(AUTHORITY_LEFT_WANTED.as_secs());
    let lasts =
        i64::try_from(wanted).is_ok_and(|wanted| wanted < certificate.validity().not_after.timestamp());
    let Ok(Some(constraints)) = certificate.name_constraints() else { return false };
    let permitted = constraints.value.permitted_subtrees.as_deref().unwrap_or_default();
    let covers = |domain: &String| {
        permitted.iter().any(|subtree| matches!(subtree.base, GeneralName::DNSName(name) if name == domain))
    };
    lasts && domains.iter().all(covers)
}

fn make(folder: &Path, domains: &[String], clock: &Clock) -> Result<(String, KeyPair), TlsError> {
    let key = KeyPair::generate().map_err(unusable)?;
    let mut params = CertificateParams::default();
    set_validity(&mut params, clock, AUTHORITY_VALID);
    params.distinguished_name = rcgen::DistinguishedName::new();
    // Two authorities of one name would be taken for each other by those who trust both.
    let name = format!("Skerry development authority {:08x}", rand::random::<u32>());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: domains.iter().cloned().map(GeneralSubtree::DnsName).collect(),
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    let pem = params.self_signed(&key).map_err(unusable)?.pem();
    // The key first: an authority without its key is made anew, one that is trusted and has another key would confuse.
    store::atomic_write(&folder.join("ca.key"), key.serialize_pem().as_bytes(), 0o600).map_err(unusable)?;
    store::atomic_write(&folder.join("ca.pem"), pem.as_bytes(), 0o644).map_err(unusable)?;
    tracing::info!(path = %folder.join("ca.pem").display(), "Made the development authority");
    Ok((pem, key))
}

/// From yesterday, for clocks that differ, until `valid` from now; says until when.
fn set_validity(params: &mut CertificateParams, clock: &Clock, valid: Duration) {
    let now = OffsetDateTime::from(clock.now());
    params.not_before = now - DAY;
    params.not_after = now + valid;
    // Positive and at most 20 bytes (RFC 5280 section 4.1.2.2).
    let serial = rand::random::<u128>() >> 1;
    params.serial_number = Some(SerialNumber::from(serial.to_be_bytes().to_vec()));
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Authority(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use tasks::Clock;
    use tempfile::TempDir;

    use super::{Authority, DAY};

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn the_authority_is_made_once_and_its_key_is_ours_alone() {
        let folder = TempDir::new().unwrap();
        let open = |domain| Authority::open(folder.path(), domain, Clock::manual(NOW_MS)).unwrap();
        let content = || fs::read_to_string(folder.path().join("tls/ca.pem")).unwrap();
        open("localhost");
        let first = content();
        let key = fs::metadata(folder.path().join("tls/ca.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        open("localhost");
        assert_eq!(content(), first);
        assert!(open("apps.example.com").certificate("hello.apps.example.com").is_some());
        let second = content();
        assert_ne!(second, first, "the first may not sign for that domain");
        open("localhost");
        assert_eq!(content(), second, "the second may sign for both");
        fs::write(folder.path().join("tls/ca.key"), "broken").unwrap();
        let error = Authority::open(folder.path(), "localhost", Clock::manual(NOW_MS)).err().unwrap();
        assert!(error.to_string().contains("ca.key"), "{error}");
        assert_eq!(content(), second);
    }

    #[test]
    fn an_authority_is_replaced_in_the_last_year_of_its_life() {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual(NOW_MS);
        let content = || {
            Authority::open(folder.path(), "localhost", clock.clone()).unwrap();
            fs::read_to_string(folder.path().join("tls/ca.pem")).unwrap()
        };
        let first = content();
        clock.advance(DAY * 365 * 8);
        assert_eq!(content(), first);
        clock.advance(DAY * 365 + Duration::from_secs(1));
        assert_ne!(content(), first);
    }

    #[test]
    fn certificates_are_kept_renewed_in_time_and_only_for_hosts_below() {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual(NOW_MS);
        let authority = Authority::open(folder.path(), "localhost", clock.clone()).unwrap();
        let der = || authority.certificate("hello.localhost").unwrap().key.cert[0].clone();
        let first = der();
        clock.advance(DAY * 59);
        assert_eq!(der(), first);
        clock.advance(DAY * 2);
        assert_ne!(der(), first);
        for host in ["example.com", "localhost.example.com", "xlocalhost", ""] {
            assert!(authority.certificate(host).is_none(), "{host}");
        }
    }
}
