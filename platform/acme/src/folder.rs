//! What lies on disk: `DIR/tls/acme/<directory>/`, so that two ACME servers never mix, with the account, one file for each
//! host (its key, then its chain), and the failures. All files are replaced whole and have mode 0600.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ingress::{Certificate, CertificateFiles};
use store::StoreError;

use crate::{AcmeError, Failure};

const ACCOUNT: &str = "account.json";
const FAILURES: &str = "failures.json";
const CERTIFICATE: &str = ".pem";
const MODE: u32 = 0o600;

/// Where one ACME server's files are; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder for a directory's URL, whether or not it is there.
    pub(crate) fn of(data: &Path, directory: &str) -> Self {
        let rest = directory.strip_prefix("https://").unwrap_or(directory);
        let keep =
            |sign: char| if sign.is_ascii_alphanumeric() || matches!(sign, '.' | '-') { sign } else { '_' };
        Self(data.join("tls/acme").join(rest.chars().map(keep).collect::<String>()))
    }

    /// Makes it, and removes what a write that was cut off left behind.
    pub(crate) fn prepare(&self) -> Result<(), AcmeError> {
        store::create_folder(&self.0)?;
        for name in self.names()? {
            if name.starts_with('.') && name.ends_with(".tmp") {
                // Harmless if it stays.
                drop(fs::remove_file(self.0.join(name)));
            }
        }
        Ok(())
    }

    /// The hosts that there is a file for.
    pub(crate) fn hosts(&self) -> Result<Vec<String>, AcmeError> {
        let host = |name: String| name.strip_suffix(CERTIFICATE).map(str::to_owned);
        Ok(self.names()?.into_iter().filter(|name| !name.starts_with('.')).filter_map(host).collect())
    }

    /// The certificate of a host.
    pub(crate) fn read(&self, host: &str) -> Result<Certificate, AcmeError> {
        let path = self.certificate(host);
        let certificate = CertificateFiles { cert: path.clone(), key: path }.read()?;
        if !certificate.covers(host) {
            return Err(AcmeError::Nonsense(format!("the certificate is for {}", certificate.names())));
        }
        Ok(certificate)
    }

    /// Keeps a certificate with its key; on return it is on disk.
    pub(crate) async fn write(&self, host: &str, pem: String) -> Result<(), AcmeError> {
        write(self.certificate(host), pem).await
    }

    pub(crate) fn remove(&self, host: &str) -> Result<(), AcmeError> {
        remove(&self.certificate(host))
    }

    pub(crate) fn account(&self) -> PathBuf {
        self.0.join(ACCOUNT)
    }

    pub(crate) fn read_account(&self) -> Result<Option<String>, AcmeError> {
        read(&self.account())
    }

    pub(crate) async fn write_account(&self, text: String) -> Result<(), AcmeError> {
        write(self.account(), text).await
    }

    pub(crate) fn remove_account(&self) -> Result<(), AcmeError> {
        remove(&self.account())
    }

    /// What failed, by host. A file that cannot be read counts as none: all it holds back is the next try.
    pub(crate) fn failures(&self) -> BTreeMap<String, Failure> {
        let text = read(&self.0.join(FAILURES)).ok().flatten().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn write_failures(&self, failures: &BTreeMap<String, Failure>) -> Result<(), AcmeError> {
        let text = serde_json::to_string_pretty(failures).expect("failures are text and numbers");
        write(self.0.join(FAILURES), text).await
    }

    fn certificate(&self, host: &str) -> PathBuf {
        self.0.join(format!("{host}{CERTIFICATE}"))
    }

    fn names(&self) -> Result<Vec<String>, AcmeError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AcmeError::File(self.0.clone(), error.to_string())),
        };
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }
}

fn read(path: &Path) -> Result<Option<String>, AcmeError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AcmeError::File(path.to_owned(), error.to_string())),
    }
}

async fn write(path: PathBuf, text: String) -> Result<(), AcmeError> {
    let written =
        tokio::task::spawn_blocking(move || store::atomic_write(&path, text.as_bytes(), MODE)).await;
    Ok(written.unwrap_or(Err(StoreError::Closed))?)
}

fn remove(path: &Path) -> Result<(), AcmeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AcmeError::File(path.to_owned(), error.to_string()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
