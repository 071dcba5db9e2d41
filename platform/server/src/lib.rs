//! Opens every product, wires doors to platform, starts, waits, drains — the only crate that names them all.

mod account;
mod addresses;
mod bindings;
mod calls;
mod certificates;
mod credentials;
mod local;
mod lock;
mod object_registry;
mod public_buckets;
mod server;
mod services;
mod usage;

pub use addresses::Addresses;
pub use credentials::Credentials;
pub use server::{S3_DEFAULT, ServeError, Server, Start};
