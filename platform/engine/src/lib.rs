//! Starts, watches, replaces and drains workerd processes: the rest of the platform sees "a process that answers on its
//! sockets" and nothing of workerd.

mod config;
mod engine;
mod error;
mod flags;
mod folder;
mod fork;
mod gate;
mod install;
mod link;
mod locate;
mod output;
mod pool;
mod process;
mod repeat;
mod slot;
mod usage;

pub use engine::{Engine, Settings, Wiring};
pub use error::StartError;
pub use install::{InstallError, install};
pub use locate::{Found, LocateError, Search, locate};
pub use pool::{RequestBody, SendError};
pub use process::{CallsLease, Lease, ProcessBody};
pub use repeat::copy_if_repeatable;
