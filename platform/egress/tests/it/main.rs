//! What egress promises, through its door: a real Unix socket on the Worker's side, real origins on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod engine;
mod failures;
mod fetch;
mod harness;
mod local;
mod policy;
mod streaming;
mod tls;
mod tunnel;
