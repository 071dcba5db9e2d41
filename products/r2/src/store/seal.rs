//! Encryption with a key of the customer's: each block by itself, so that a range can be read without what lies before.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Key},
};

use crate::model::CustomerKey;

/// What a sealed block is longer than its plain text.
pub(super) const TAG_BYTES: u64 = 16;

/// The random part of a blob's nonces; the number of the block is the rest.
pub(super) type Nonce = [u8; 16];

/// Encrypts and decrypts the blocks of one blob.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    nonce: Nonce,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seal(…)")
    }
}

impl Seal {
    pub(super) fn new(key: &CustomerKey, nonce: Nonce) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&Key::<XChaCha20Poly1305>::from(*key.reveal())), nonce }
    }

    /// Begins a new blob.
    pub(super) fn draw(key: &CustomerKey) -> Self {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("the operating system has random bytes");
        Self::new(key, nonce)
    }

    pub(super) fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub(super) fn seal(&self, block: u64, plain: &[u8]) -> Vec<u8> {
        self.cipher.encrypt(&self.block_nonce(block), plain).expect("a block is within the cipher's limits")
    }

    /// `None` if the key is another, or the bytes are.
    pub(super) fn open(&self, block: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        self.cipher.decrypt(&self.block_nonce(block), sealed).ok()
    }

    fn block_nonce(&self, block: u64) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.nonce);
        nonce[16..].copy_from_slice(&block.to_le_bytes());
        XNonce::from(nonce)
    }
}
