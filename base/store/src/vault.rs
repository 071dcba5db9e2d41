//! Encryption at rest: XChaCha20-Poly1305 under the installation's master key. What is encrypted, and for which purpose,
//! is the rooms' business.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::files::{atomic_write, create_folder};

/// Bytes of the master key.
const KEY_BYTES: usize = 32;

/// Bytes of the random nonce that sealed text begins with: long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;

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
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Vault(…)")
    }
}

impl Vault {
    /// Reads the master key file (32 bytes, mode 0600), or makes it.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let key = match fs::metadata(path) {
            Ok(metadata) => read_key(path, metadata.permissions().mode())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(path)?,
            Err(error) => return Err(unreadable(path, &error)),
        };
        Ok(Self { cipher: XChaCha20Poly1305::new(&Key::from(key)) })
    }

    /// Encrypts `plain`; `purpose` (for example `secret/hello/API_KEY`) is bound to it and must be the same to open.
    #[must_use]
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random();
        let payload = Payload { msg: plain, aad: purpose.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("small values are within the cipher's limits");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what [`Vault::seal`] made.
    pub fn open_sealed(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let refuse = || VaultError::Sealed(purpose.to_owned());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(refuse)?;
        let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_opaque| refuse())
    }
}

fn read_key(path: &Path, mode: u32) -> Result<[u8; KEY_BYTES], VaultError> {
    let shown = path.display();
    if mode & 0o077 != 0 {
        let mode = mode & 0o777;
        return Err(VaultError::Key(format!(
            "the master key `{shown}` can be read by others (mode {mode:04o}): run `chmod 600 {shown}`, \
             and make new secrets if somebody may have read it"
        )));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let found = bytes.len();
    bytes.try_into().map_err(|_bytes| {
        VaultError::Key(format!(
            "the master key `{shown}` has {found} bytes instead of {KEY_BYTES}: restore it from a backup"
        ))
    })
}

fn make_key(path: &Path) -> Result<[u8; KEY_BYTES], VaultError> {
    let key: [u8; KEY_BYTES] = random();
    path.parent()
        .map_or(Ok(()), create_folder)
        .and_then(|()| atomic_write(path, &key, 0o600))
        .map_err(|error| VaultError::Key(error.to_string()))?;
    tracing::info!(file = %path.display(), "Made a master key; back it up, sealed values cannot be read without it");
    Ok(key)
}

fn unreadable(path: &Path, error: &io::Error) -> VaultError {
    VaultError::Key(format!("could not read the master key `{}`: {error}", path.display()))
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}
