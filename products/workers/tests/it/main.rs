//! The register through its REST door, with a runtime that runs nothing: what both wranglers do, what is refused and how,
//! what is taken over from version to version, and what a restart or a hung-up caller leaves behind.

mod deploy;
mod durability;
mod harness;
mod hostile;
mod refusals;
mod secrets;
mod takeover;
mod zones;
