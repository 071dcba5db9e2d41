//! Encryption at rest: XChaCha20-Poly1305 under the installation's master key.

use std::path::Path;

/// What can go wrong with sealed text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The key file could not be read or made.
    #[error("{0}")]
    Key(String),
    /// The sealed bytes were not made by this key for this purpose, or were changed.
    #[error("the sealed value of `{0}` does not open with this master key")]
    Sealed(String),
}

/// Seals and opens small values; cheap to clone.
#[derive(Clone)]
pub struct Vault {}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Vault(…)")
    }
}

impl Vault {
    /// Reads the master key file (32 bytes, mode 0600), or makes it.
    pub fn open(_path: &Path) -> Result<Self, VaultError> {
        todo!()
    }

    /// Encrypts `plain`; `purpose` (for example `secret/hello/API_KEY`) is bound to it and must be the same to open.
    pub fn seal(&self, _purpose: &str, _plain: &[u8]) -> Vec<u8> {
        todo!()
    }

    /// Decrypts what [`Vault::seal`] made.
    pub fn open_sealed(&self, _purpose: &str, _sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        todo!()
    }
}
