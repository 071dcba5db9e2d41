//! Why no process answers.

use std::time::Duration;

use model::VersionId;
use product::TrialError;

use crate::{config::ConfigError, process::StartFailure};

/// Cloudflare's words for a global scope that computes too long.
const STARTUP_CPU_EXCEEDED: &str = "Script startup exceeded CPU time limit.";

/// Why no process answers for a version.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The version's own fault: it throws in its global scope, does not parse …; the text is for its author.
    #[error("{0}")]
    Rejected(String),
    /// The version does not exist (any more).
    #[error("version {0} does not exist")]
    Missing(VersionId),
    /// It may not run the Durable Objects of its Worker: another version answers now.
    #[error("version {0} was replaced")]
    Replaced(VersionId),
    /// It crashed again and again; it is started anew once the time has passed.
    #[error("the Worker's process keeps ending ({cause}); it is started again in {} s", retry_after.as_secs().max(1))]
    CrashLoop {
        /// How the last process ended, or why the last start failed.
        cause: String,
        /// Until the next start.
        retry_after: Duration,
    },
    /// Our fault or the machine's: no engine, no memory, no descriptors. The text says what to do.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StartFailure> for StartError {
    fn from(failure: StartFailure) -> Self {
        match failure {
            StartFailure::Refused(messages) if messages.is_empty() => {
                Self::Unavailable("workerd ended without a word while starting".to_owned())
            }
            StartFailure::Refused(messages) => Self::Rejected(messages.join("\n")),
            StartFailure::CpuExceeded => Self::Rejected(STARTUP_CPU_EXCEEDED.to_owned()),
            // Waiting without computing: the machine is overloaded, or the code waits for something outside.
            StartFailure::TimedOut(limit) => Self::Unavailable(format!(
                "the Worker's process did not answer within {} s of its start",
                limit.as_secs()
            )),
            StartFailure::Io(error) => Self::Unavailable(format!("start workerd: {error}")),
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl From<StartError> for TrialError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Rejected(message) => Self::Rejected(message),
            StartError::Missing(_)
            | StartError::Replaced(_)
            | StartError::CrashLoop { .. }
            | StartError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}
