//! One log on standard error: for people on a terminal, as JSON lines for machines.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// What a library warns of because a client misbehaves: clients do not decide what a person has to read. A filter that
/// names the library shows it again.
const QUIET: &str = "h2=error,s3s=off";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Coloured on a terminal, plain elsewhere.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The filter does not parse, or logging was set up before.
#[derive(Debug, Clone, thiserror::Error)]
#[error("set up logging with the filter `{filter}`: {cause}")]
pub struct LogSetupError {
    filter: String,
    cause: String,
}

/// Starts logging for this process. `filter` reads like `info` or `kv=debug,ingress=trace`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogSetupError> {
    let failed = |cause: String| LogSetupError { filter: filter.to_owned(), cause };
    let parsed =
        EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| failed(error.to_string()))?;
    let registry = tracing_subscriber::registry().with(parsed);
    let started = match format {
        LogFormat::Pretty => {
            let is_terminal = std::io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false);
            registry.with(lines).try_init()
        }
        LogFormat::Json => {
            let lines =
                fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
    };
    started.map_err(|error| failed(error.to_string()))
}
