//! Certificates from a real ACME server (pebble), through to a handshake that its root vouches for.

mod authority;
mod failures;
mod gate;
mod issuing;
mod resolver;
mod support;
