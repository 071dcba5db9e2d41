//! File, environment and flags become one validated value. The only reader of the environment; it acts on nothing.

mod environment;
mod file;

pub use environment::Environment;
pub use file::{
    EgressSettings, EngineSettings, LogFormat, LogSettings, ServerSettings, Settings, SettingsError,
    WorkersSettings, ZoneSettings,
};
