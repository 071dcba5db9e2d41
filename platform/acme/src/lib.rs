//! Obtains and renews certificates from an ACME server (RFC 8555): which hosts need one, when, what is kept on disk and what
//! is done about failures. The challenges are answered by the ingress, the protocol is spoken by instant-acme.

mod account;
mod error;
mod folder;
mod http_client;
mod keeper;
pub mod limits;
mod metrics;
mod order;
mod report;
mod schedule;
mod settings;

pub use error::AcmeError;
pub use keeper::{Keeper, Nudge, Wiring};
pub use report::{HostReport, report};
pub use schedule::Failure;
pub use settings::{Challenge, ExternalAccount, Settings};
