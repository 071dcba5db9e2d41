//! SQLite files done once: open, migrate, one writer with group commit, readers, checkpoints; the vault that encrypts what
//! must not lie readable on disk; small files replaced whole; and the points at which tests crash. It knows no table.

mod checkpoint;
mod database;
mod error;
pub mod fault;
mod files;
mod migration;
mod readers;
mod vault;
mod writer;

pub use database::{Database, Options, VFS};
pub use error::{Failure, StoreError};
pub use files::{atomic_write, create_folder, sync_folder};
pub use migration::Migration;
pub use rusqlite;
pub use vault::{Vault, VaultError};
