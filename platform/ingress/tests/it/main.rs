//! What the public door promises, proven through real sockets against a process that a test plays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connections;
mod failures;
mod forwarding;
mod hostile;
mod names;
mod process;
mod rollout;
mod streaming;
mod support;
mod tls;
mod websocket;
