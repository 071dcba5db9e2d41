//! `skerry doctor`: whether this machine can run Skerry, and what to do if not.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use acme::HostReport;
use settings::{CertificateSettings, Environment, Settings};

use super::data_folder;
use crate::{arguments::Doctor, failure::Failure, printer};

/// Below this an upload or a checkpoint may fail.
const FREE_BYTES_WANTED: u64 = 1024 * 1024 * 1024;
/// Descriptors for a few thousand connections.
const DESCRIPTORS_WANTED: u64 = 8192;
/// A disk that needs longer for one sync makes every write slow.
const SYNC_WANTED: Duration = Duration::from_millis(50);
/// Syncs that are timed; the median counts.
const SYNCS: usize = 5;
/// Whoever renews certificates does it before this is left; Let's Encrypt recommends 30 days.
const CERTIFICATE_DAYS_WANTED: i64 = 14;

/// What was found.
enum Finding {
    Good(String),
    /// It works, but not as well as it could.
    Weak(String, String),
    /// It does not work; the second text says what to do.
    Bad(String, String),
}

use Finding::{Bad, Good, Weak};

/// Prints one line for each check and fails if one is bad.
pub(crate) fn run(arguments: &Doctor) -> Result<(), Failure> {
    let environment = Environment::read();
    let data = data_folder(&arguments.data, &environment)?;
    let settings =
        Settings::load(arguments.config.as_deref()).map_err(|error| Failure::from_error(&error))?;
    let mut bad = 0;
    let mut checks = vec![
        ("engine", engine(&data, &environment)),
        ("permissions", permissions(&data)),
        ("secrets", secrets(&data)),
        ("sandbox", sandbox()),
        ("disk", disk(&data)),
        ("limits", limits()),
    ];
    checks.extend(settings.tls.certificates.iter().map(|files| ("certificate", certificate(files))));
    checks.extend(acme(&data, &settings).into_iter().map(|finding| ("acme", finding)));
    for (name, finding) in checks {
        let (mark, text, advice) = match finding {
            Good(text) => ("ok  ", text, None),
            Weak(text, advice) => ("weak", text, Some(advice)),
            Bad(text, advice) => {
                bad += 1;
                ("BAD ", text, Some(advice))
            }
        };
        printer::line(format_args!("{mark}  {name:<12} {text}"));
        if let Some(advice) = advice {
            printer::line(format_args!("                   {advice}"));
        }
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::new("one check failed")),
        _ => Err(Failure::new(format!("{bad} checks failed"))),
    }
}

fn engine(data: &Path, environment: &Environment) -> Finding {
    let search = engine::Search {
        named: environment.workerd.clone(),
        data: data.to_owned(),
        own_program: std::env::current_exe().ok(),
        path: environment.path.clone(),
    };
    match engine::locate(&search) {
        Ok(found) => match found.other_version {
            None => Good(format!("{} (found in {})", found.program.display(), found.place)),
            Some(version) => Weak(
                format!("SKERRY_WORKERD is {version}, not the version this build was tested with"),
                "unset SKERRY_WORKERD and run `skerry engine install`".to_owned(),
            ),
        },
        Err(error) => Bad(error.to_string(), "run `skerry engine install` (it needs npm)".to_owned()),
    }
}

fn permissions(data: &Path) -> Finding {
    if let Err(error) = std::fs::create_dir_all(data) {
        return Bad(
            format!("create `{}`: {error}", data.display()),
            "choose another folder with --data".to_owned(),
        );
    }
    match std::fs::File::create(data.join(".doctor")) {
        Ok(_) => {
            std::fs::remove_file(data.join(".doctor")).ok();
            Good(format!("`{}` can be written", data.display()))
        }
        Err(error) => Bad(
            format!("write to `{}`: {error}", data.display()),
            "give the folder to the user that runs Skerry, or choose another with --data".to_owned(),
        ),
    }
}

fn secrets(data: &Path) -> Finding {
    let user = rustix::process::geteuid().as_raw();
    for name in ["master.key", "credentials.json", "tls/ca.key"] {
        let path = data.join(name);
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Bad(
                format!("`{}` is open to other users", path.display()),
                format!("chmod 600 {}", path.display()),
            );
        }
        if metadata.uid() != user {
            return Bad(
                format!("`{}` belongs to another user", path.display()),
                "run Skerry as that user".to_owned(),
            );
        }
    }
    Good("key and credentials are readable by you alone".to_owned())
}

fn certificate(files: &CertificateSettings) -> Finding {
    let read = ingress::CertificateFiles { cert: files.cert.clone(), key: files.key.clone() }.read();
    let certificate = match read {
        Ok(certificate) => certificate,
        Err(error) => {
            return Bad(
                error.to_string(),
                "name a certificate and its key under [[tls.certificates]]".to_owned(),
            );
        }
    };
    let days_left = certificate.days_left(tasks::Clock::system().unix_secs());
    if days_left < 0 {
        return Bad(
            format!("`{}` for {} has expired", files.cert.display(), certificate.names()),
            "renew it; the server takes the new one up by itself".to_owned(),
        );
    }
    if files.key.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        return Weak(
            format!("`{}` is open to other users", files.key.display()),
            format!("chmod 600 {}", files.key.display()),
        );
    }
    let text = format!("`{}` for {}, {days_left} days left", files.cert.display(), certificate.names());
    if days_left < CERTIFICATE_DAYS_WANTED {
        return Weak(text, "renew it; the server takes the new one up by itself".to_owned());
    }
    Good(text)
}

/// One finding for each host that has a certificate from the ACME server, or should have one.
fn acme(data: &Path, settings: &Settings) -> Vec<Finding> {
    let Some(acme) = &settings.tls.acme else { return Vec::new() };
    let now = tasks::Clock::system().unix_secs();
    match acme::report(data, &acme.directory, now) {
        Ok(hosts) if hosts.is_empty() => vec![Good("no certificate was ordered yet".to_owned())],
        Ok(hosts) => hosts.into_iter().map(|(host, report)| acme_host(&host, report, now)).collect(),
        Err(error) => vec![Bad(error.to_string(), "give the folder to the user that runs Skerry".to_owned())],
    }
}

fn acme_host(host: &str, report: HostReport, now: u64) -> Finding {
    let days = match report.days_left {
        Some(Ok(days)) if 0 <= days => format!("{host}, {days} days left"),
        Some(Ok(_)) => format!("{host}: the certificate has expired"),
        Some(Err(error)) => format!("{host}: {error}"),
        None => format!("{host} has no certificate"),
    };
    match report.failure {
        Some(failure) => {
            let minutes = failure.next_unix_secs.saturating_sub(now).div_ceil(60);
            let tries = failure.tries;
            Weak(
                format!("{days}: {}", failure.error),
                format!(
                    "failed {tries} times in a row, next try in {minutes} minutes; SIGHUP has the server try now"
                ),
            )
        }
        None => Good(days),
    }
}

fn sandbox() -> Finding {
    if rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).is_err() {
        return Bad(
            "the kernel offers no process descriptors".to_owned(),
            "run Linux 5.4 or newer, or let the container allow pidfd_open".to_owned(),
        );
    }
    if rustix::process::geteuid().is_root() {
        return Weak(
            "Skerry runs as root, and Workers' processes with it".to_owned(),
            "run it as a user of its own".to_owned(),
        );
    }
    Good("each Worker runs in a process of its own, configured without network and files".to_owned())
}

fn disk(data: &Path) -> Finding {
    let free = match rustix::fs::statvfs(data) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
        Err(error) => return Bad(format!("ask for free space: {error}"), "check the disk".to_owned()),
    };
    let sync = match sync_time(data) {
        Ok(sync) => sync,
        Err(error) => return Bad(format!("write and sync a file: {error}"), "check the disk".to_owned()),
    };
    let text =
        format!("{} MiB free, a sync takes {:.1} ms", free / (1024 * 1024), sync.as_secs_f64() * 1000.0);
    if free < FREE_BYTES_WANTED {
        return Weak(text, "free at least 1 GiB: writes fail when the disk is full".to_owned());
    }
    if SYNC_WANTED < sync {
        return Weak(text, "each acknowledged write waits for a sync: use a faster disk".to_owned());
    }
    Good(text)
}

fn sync_time(data: &Path) -> std::io::Result<Duration> {
    let clock = tasks::Clock::system();
    let path = data.join(".doctor");
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let mut file = std::fs::File::create(&path)?;
        std::io::Write::write_all(&mut file, &[0; 4096])?;
        let began = clock.monotonic();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort();
    Ok(times[SYNCS / 2])
}

fn limits() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit {
        Some(maximum) if maximum < DESCRIPTORS_WANTED => Weak(
            format!("at most {maximum} open files"),
            format!("raise it to {DESCRIPTORS_WANTED} (`ulimit -Hn`, or LimitNOFILE in the systemd unit)"),
        ),
        Some(maximum) => Good(format!("up to {maximum} open files")),
        None => Good("open files are not limited".to_owned()),
    }
}
