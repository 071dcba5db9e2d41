//! A command that failed: what, on what, and what to try.

use std::fmt::Display;

/// Shown as `error: …` and, below it, `hint: …`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error with all its causes.
    pub(crate) fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(current) = cause {
            message = format!("{message}: {current}");
            cause = current.source();
        }
        Self::new(message.trim_end().to_owned())
    }

    /// What was tried on what, and why it failed.
    pub(crate) fn doing(what: impl Display, cause: impl Display) -> Self {
        Self::new(format!("{what}: {cause}"))
    }
}
