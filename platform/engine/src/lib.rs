//! Starts, watches, replaces and drains workerd processes: the rest of the platform sees "a process that answers on its
//! sockets" and nothing of workerd.

mod process;

pub use process::{Engine, Lease, ProcessBody, SendError, StartError};
