//! What a process prints: its Workers' console lines and its own complaints, taken line by line into our log. While a
//! process starts, its errors are kept, since they say why a version cannot run.

use std::sync::{Arc, Mutex, PoisonError};

use model::Caller;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line that is logged whole; the rest of a longer one follows as further lines.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Error lines kept of one start; more say nothing new.
const STARTUP_ERRORS_MAX: usize = 16;

/// Where a process's lines go; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    caller: Arc<Caller>,
    /// `Some` while the process starts.
    startup_errors: Arc<Mutex<Option<Vec<String>>>>,
    /// Classes of Durable Objects that it was told of and does not export.
    missing_classes: Arc<Mutex<Vec<String>>>,
}

/// A line as workerd writes it with `structuredLogging`.
#[derive(Deserialize)]
struct Line {
    level: String,
    message: String,
    /// The place in workerd's source; console output has none.
    source: Option<String>,
}

impl Output {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self {
            caller,
            startup_errors: Arc::new(Mutex::new(Some(Vec::new()))),
            missing_classes: Arc::default(),
        }
    }

    /// Reads `pipe` to its end.
    pub(crate) async fn read(self, mut pipe: impl AsyncRead + Unpin) {
        let mut pending = Vec::new();
        let mut chunk = vec![0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            pending.extend_from_slice(&chunk[..count]);
            let mut rest = 0;
            while let Some(length) = pending[rest..].iter().position(|byte| *byte == b'\n') {
                self.take(&pending[rest..rest + length]);
                rest += length + 1;
            }
            pending.drain(..rest);
            if LINE_BYTES_MAX < pending.len() {
                self.take(&pending);
                pending.clear();
            }
        }
        if !pending.is_empty() {
            self.take(&pending);
        }
    }

    /// The errors printed since the start; from now on lines go to the log alone.
    pub(crate) fn end_startup(&self) -> Vec<String> {
        self.startup_errors.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// The start went well in spite of them: they go to the log.
    pub(crate) fn end_startup_well(&self) {
        for message in self.end_startup() {
            tracing::info!(target: "workerd", script = %self.caller.script, version = %self.caller.version, "{message}");
        }
    }

    /// The classes of Durable Objects that the process does not export, as far as it has said so.
    pub(crate) fn missing_classes(&self) -> Vec<String> {
        self.missing_classes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let parsed: Line = serde_json::from_str(&text).unwrap_or_else(|_| Line {
            level: "error".to_owned(),
            message: text.into_owned(),
            source: Some(String::new()),
        });
        if parsed.source.is_some()
            && let Some(class) = missing_class(&parsed.message)
        {
            self.missing_classes.lock().unwrap_or_else(PoisonError::into_inner).push(class.to_owned());
            return;
        }
        if parsed.source.is_some() && self.keep_startup_error(&parsed) {
            return;
        }
        let Line { level, message, source } = parsed;
        let (script, version) = (&self.caller.script, &self.caller.version);
        if source.is_some() {
            tracing::info!(target: "workerd", %script, %version, level, "{}", in_users_terms(&message));
        } else {
            tracing::info!(target: "console", %script, %version, level, "{message}");
        }
    }

    fn keep_startup_error(&self, line: &Line) -> bool {
        let mut errors = self.startup_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(errors) = errors.as_mut() else { return false };
        if line.level == "error" && errors.len() < STARTUP_ERRORS_MAX {
            // workerd names its own service; to the author the script's name says nothing new.
            let prefix = format!("service {}: ", self.caller.script);
            let message = line.message.strip_prefix(&prefix).unwrap_or(&line.message);
            errors.push(message.to_owned());
        }
        true
    }
}

/// The class of Durable Objects that workerd misses. It says so in passing, and starts all the same.
fn missing_class(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("A DurableObjectNamespace in the config referenced the class \"")?;
    rest.split_once('"').map(|(class, _)| class)
}

/// An exception of user code without the place in workerd's own source: `Uncaught exception: workerd/jsg/value.h:1456:
/// failed: remote.jsg.Error: kaputt` becomes `Uncaught Error: kaputt`.
fn in_users_terms(message: &str) -> std::borrow::Cow<'_, str> {
    let Some(exception) = message.strip_prefix("Uncaught exception: ") else { return message.into() };
    match exception.split_once("jsg.") {
        Some((place, error)) if !place.contains('\n') => format!("Uncaught {error}").into(),
        Some(_) | None => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_users_terms;

    #[test]
    fn an_exception_is_shown_without_workerds_source() {
        let message = "Uncaught exception: workerd/jsg/value.h:1456: failed: remote.jsg.Error: kaputt";
        assert_eq!(in_users_terms(message), "Uncaught Error: kaputt");
        assert_eq!(in_users_terms("something else"), "something else");
    }
}
