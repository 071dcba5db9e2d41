//! `skerry serve`: from settings to a server, and from a signal to its end.

use std::{io::IsTerminal, path::Path};

use server::{ServeError, Server, Start};
use settings::{Environment, LogFormat, Settings, SettingsError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::data_folder;
use crate::{arguments::Serve, failure::Failure, printer};

/// Runs until a signal.
pub(crate) fn run(arguments: Serve) -> Result<(), Failure> {
    let environment = Environment::read();
    let data = data_folder(&arguments.data, &environment)?;
    let settings = merge(&arguments, &environment)?;
    start_log(&settings)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::doing("start the runtime", error))?;
    let base_domain = settings.server.base_domain.clone();
    let is_folder_named = arguments.data.data.is_some();
    runtime.block_on(async {
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(|error| Failure::doing("watch SIGINT", error))?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(|error| Failure::doing("watch SIGTERM", error))?;
        let mut hangup = watch_hangup(&settings)?;
        let own_program = std::env::current_exe().ok();
        let start = Start { data: data.clone(), settings, environment, own_program };
        let server = Server::open(start).await.map_err(explain)?;
        announce(&server, &data, &base_domain, is_folder_named);
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = received(hangup.as_mut()) => reload(&server),
            }
        }
        tracing::info!("Stopping: requests that run may finish; a second Ctrl-C cuts them");
        tokio::select! {
            () = server.stop() => tracing::info!("Stopped"),
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// SIGHUP asks for the certificates to be read again. On a terminal it means that the terminal is gone, and without TLS there
/// is nothing to read: then it ends the server, as it ends every program.
fn watch_hangup(settings: &Settings) -> Result<Option<Signal>, Failure> {
    if settings.server.https.is_none() || std::io::stdout().is_terminal() {
        return Ok(None);
    }
    signal(SignalKind::hangup()).map(Some).map_err(|error| Failure::doing("watch SIGHUP", error))
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn reload(server: &Server) {
    tracing::info!("Reading the certificates again");
    tokio::task::block_in_place(|| server.reload());
}

/// Flags over environment over file over defaults.
fn merge(arguments: &Serve, environment: &Environment) -> Result<Settings, Failure> {
    let invalid = |error: SettingsError| {
        let failure = Failure::from_error(&error);
        match error {
            SettingsError::Read(..) => failure,
            SettingsError::Parse(..) | SettingsError::Value { .. } => {
                failure.hint("docs/settings.md lists every key")
            }
        }
    };
    let mut settings = Settings::load(arguments.config.as_deref()).map_err(invalid)?;
    let server = &mut settings.server;
    server.http = arguments.http.unwrap_or(server.http);
    server.https = arguments.https.or(server.https);
    server.api = arguments.api.unwrap_or(server.api);
    server.s3 = arguments.s3.or(server.s3);
    if let Some(base_domain) = &arguments.base_domain {
        server.base_domain.clone_from(base_domain);
    }
    if let Some(filter) = &environment.log {
        settings.log.filter.clone_from(filter);
    }
    match environment.log_format.as_deref() {
        None => {}
        Some("pretty") => settings.log.format = LogFormat::Pretty,
        Some("json") => settings.log.format = LogFormat::Json,
        Some(other) => {
            return Err(Failure::new(format!(
                "SKERRY_LOG_FORMAT is `{other}`; it can be `pretty` or `json`"
            )));
        }
    }
    settings.check().map_err(invalid)?;
    Ok(settings)
}

fn start_log(settings: &Settings) -> Result<(), Failure> {
    let format = match settings.log.format {
        LogFormat::Pretty => telemetry::LogFormat::Pretty,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    telemetry::init(format, &settings.log.filter).map_err(|error| Failure::from_error(&error))
}

/// Each connection takes a descriptor here and often one more toward a process; the usual soft limit of 1024 is too few.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!(limit = ?limit.current, "The limit of open files could not be raised");
    }
}

fn announce(server: &Server, data: &Path, base_domain: &str, is_folder_named: bool) {
    let addresses = server.addresses();
    let env = if is_folder_named {
        format!("skerry env --data {}", data.display())
    } else {
        "skerry env".to_owned()
    };
    printer::line(format_args!("{}", printer::bold("Skerry is ready.")));
    let row = |title: &str, text: &str| vec![format!("  {title}"), text.to_owned()];
    let mut rows = vec![row("Workers", &addresses.http)];
    rows.extend(addresses.https.as_deref().map(|https| row("with TLS", https)));
    rows.extend([
        row("API", &addresses.api),
        row("S3", &addresses.s3),
        row("Data", &data.display().to_string()),
    ]);
    printer::table(&rows);
    if let Some(authority) = server.authority() {
        printer::line(format_args!(
            "\nHosts below {base_domain} without a certificate of their own get one from a development authority. To trust it:\n  \
             curl --cacert {path} …, NODE_EXTRA_CA_CERTS={path}, or import the file into the browser",
            path = authority.display()
        ));
    }
    printer::line(format_args!("\nIn a project folder: eval \"$({env})\" && npx wrangler deploy"));
    printer::line("Ctrl-C stops the server.\n");
}

fn explain(error: ServeError) -> Failure {
    let failure = Failure::from_error(&error);
    match error {
        ServeError::Locked { .. } => failure.hint("stop that server, or choose another folder with --data"),
        ServeError::Listen { door, .. } => failure.hint(format!(
            "stop what uses the address, or choose another with --{door} (port 0 takes any free one)"
        )),
        ServeError::Engine(engine::LocateError::Missing(_)) => {
            failure.hint("install it with `skerry engine install`")
        }
        ServeError::Engine(engine::LocateError::Named(..)) => {
            failure.hint("unset SKERRY_WORKERD, or let it name a workerd program")
        }
        ServeError::Tls(_) => failure
            .hint("`skerry doctor --config FILE` checks each certificate; docs/settings.md explains [tls]"),
        ServeError::Acme(_) => failure.hint("docs/settings.md explains [tls.acme]"),
        ServeError::Open { .. } => failure.hint("`skerry doctor` checks the data folder"),
    }
}
