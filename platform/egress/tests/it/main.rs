//! What egress promises, through its door: a real Unix socket on the Worker's side, real origins on loopback.

mod engine;
mod failures;
mod fetch;
mod harness;
mod local;
mod policy;
mod streaming;
mod tls;
mod tunnel;
