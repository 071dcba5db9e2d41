//! File, environment and flags become one validated value. The only reader of the environment; it acts on nothing.

mod environment;
mod file;

pub use environment::Environment;
pub use file::{
    AcmeChallenge, AcmeSettings, CertificateSettings, D1Settings, EgressSettings, EngineSettings,
    ExternalAccountSettings, LogFormat, LogSettings, ServerSettings, Settings, SettingsError, TlsSettings,
    WorkersSettings, ZoneSettings,
};
