//! SQLite files done once: open, migrate, one writer with group commit, readers, checkpoints; and the vault that encrypts
//! what must not lie readable on disk.

mod database;
mod vault;

pub use database::{Database, Migration, Options, StoreError};
pub use vault::{Vault, VaultError};
