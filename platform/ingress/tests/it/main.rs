//! What the public door promises, proven through real sockets against a process that a test plays.

mod connections;
mod failures;
mod forwarding;
mod hostile;
mod process;
mod streaming;
mod support;
mod websocket;
