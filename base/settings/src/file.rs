//! The settings file: every key with its default. `docs/settings.md` explains each; a test holds the two together.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the doors are.
    pub server: ServerSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// How Workers' processes are run.
    pub engine: EngineSettings,
    /// What Workers may reach.
    pub egress: EgressSettings,
    /// Limits of uploads.
    pub workers: WorkersSettings,
    /// What D1 keeps of its databases' past.
    pub d1: D1Settings,
    /// Certificates for the door that speaks TLS.
    pub tls: TlsSettings,
    /// Zones whose routes and custom domains may be used.
    pub zones: Vec<ZoneSettings>,
}

/// Where the doors are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Where Workers answer.
    pub http: SocketAddr,
    /// Where Workers answer over TLS; nowhere unless set.
    pub https: Option<SocketAddr>,
    /// Where the v4 API answers, and `/metrics`.
    pub api: SocketAddr,
    /// Where the S3 API of R2 will answer.
    pub s3: Option<SocketAddr>,
    /// Workers answer at `<name>.<base_domain>`.
    pub base_domain: String,
    /// Three capital letters that stand for the data centre in `request.cf.colo` and ray ids.
    pub colo: String,
    /// How long requests may go on after a stop was asked for, in seconds; never more than 30.
    pub drain_timeout_secs: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            http: local(8787),
            https: None,
            api: local(8788),
            s3: None,
            base_domain: "localhost".to_owned(),
            colo: "LOC".to_owned(),
            drain_timeout_secs: 30,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// Levels by crate, for example `info` or `info,kv=debug`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How Workers' processes are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// A Worker's process without a request for this long is stopped, in seconds.
    pub idle_timeout_secs: u64,
    /// How long work left to `waitUntil` may run after the answer, in seconds.
    pub wait_until_secs: u64,
    /// How long a process may take until it answers, in seconds.
    pub startup_timeout_secs: u64,
    /// CPU time a Worker's global scope may use, in milliseconds.
    pub startup_cpu_ms: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { idle_timeout_secs: 600, wait_until_secs: 30, startup_timeout_secs: 30, startup_cpu_ms: 1000 }
    }
}

/// What Workers may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Networks that Workers may reach although they are not public.
    pub allow: Vec<IpNet>,
    /// Names with a fixed address, port included.
    pub hosts: HashMap<String, SocketAddr>,
    /// PEM files with certificate authorities to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
}

/// Limits of uploads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkersSettings {
    /// Largest script after compression, in bytes.
    pub script_bytes_max: u64,
}

impl Default for WorkersSettings {
    fn default() -> Self {
        Self { script_bytes_max: 10 * 1024 * 1024 }
    }
}

/// What D1 keeps of its databases' past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct D1Settings {
    /// How long every commit can be restored, in days.
    pub time_travel_days: u32,
    /// Bytes of one database's history at which its oldest part goes earlier.
    pub time_travel_bytes_max: u64,
}

impl Default for D1Settings {
    fn default() -> Self {
        Self { time_travel_days: 30, time_travel_bytes_max: 10_000_000_000 }
    }
}

/// Certificates for the door that speaks TLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// Those from files; a visitor gets the one that is for the host.
    pub certificates: Vec<CertificateSettings>,
    /// Those that an ACME server issues; none unless this is set.
    pub acme: Option<AcmeSettings>,
}

/// Certificates from an ACME server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeSettings {
    /// The URL of the server's directory.
    pub directory: String,
    /// Whether the operator has agreed to the server's terms of service. It has to be said.
    pub terms_of_service_agreed: bool,
    /// An e-mail address for the server's notices.
    pub contact: Option<String>,
    /// PEM file with the authorities that vouch for the ACME server, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How hosts are validated.
    pub challenge: AcmeChallenge,
    /// Hosts that get a certificate in any case.
    pub hosts: Vec<String>,
    /// Whether each custom domain gets one.
    pub custom_domains: bool,
    /// Whether each Worker's host below the base domain gets one.
    pub worker_hosts: bool,
    /// External account binding, for authorities that ask for it.
    pub external_account: Option<ExternalAccountSettings>,
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            terms_of_service_agreed: false,
            contact: None,
            ca_file: None,
            challenge: AcmeChallenge::TlsAlpn01,
            hosts: Vec::new(),
            custom_domains: true,
            worker_hosts: false,
            external_account: None,
        }
    }
}

/// How an ACME server convinces itself that a host is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcmeChallenge {
    /// By a request to port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// By a handshake at port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// An account at the authority that the ACME account is bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccountSettings {
    /// The key's name, from the authority.
    pub key_id: String,
    /// The file that holds the key, in base64url.
    pub key_file: PathBuf,
}

impl AcmeSettings {
    fn check(&self, server: &ServerSettings) -> Result<(), SettingsError> {
        let host = self.hosts.iter().find(|host| !is_domain(host));
        let https = if server.https.is_some() { "set" } else { "not set" };
        let contact = self.contact.as_deref().unwrap_or_default();
        let is_address = |text: &str| {
            text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty())
                && !text
                    .contains(|sign: char| sign.is_whitespace() || sign.is_control() || ",?:".contains(sign))
        };
        let rules = [
            (
                "tls.acme.terms_of_service_agreed",
                "false",
                self.terms_of_service_agreed,
                "it must be true: read the terms of the ACME server first",
            ),
            (
                "server.https",
                https,
                server.https.is_some(),
                "[tls.acme] needs an address for TLS (`--https`)",
            ),
            (
                "tls.acme.directory",
                &self.directory,
                self.directory.starts_with("https://"),
                "it must begin with https://",
            ),
            (
                "tls.acme.hosts",
                host.map_or("", String::as_str),
                host.is_none(),
                "each must be a whole host name in lower case (a star would need DNS-01, which is not offered)",
            ),
            (
                "tls.acme.contact",
                contact,
                self.contact.is_none() || is_address(contact),
                "it must be an e-mail address",
            ),
            (
                "tls.acme.worker_hosts",
                "true",
                !self.worker_hosts || server.base_domain.contains('.'),
                "no authority issues for hosts below `localhost`: set server.base_domain",
            ),
        ];
        match rules.into_iter().find(|(_, _, is_valid, _)| !is_valid) {
            Some((key, value, _, rule)) => Err(SettingsError::Value { key, value: value.to_owned(), rule }),
            None => Ok(()),
        }
    }
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// PEM file with the certificate and those between it and its authority.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSettings {
    /// Its domain, for example `example.com`.
    pub name: String,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("read the settings file `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not TOML, or has a key or value that is not known.
    #[error("the settings file `{0}` is not valid")]
    Parse(PathBuf, #[source] Box<toml::de::Error>),
    /// A value is outside its range.
    #[error("`{key}` is {value}, but {rule}")]
    Value {
        /// The key, with its table.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it has to be.
        rule: &'static str,
    },
}

impl Settings {
    /// Reads the file, or takes the defaults if there is none.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let Some(path) = file else { return Ok(Self::default()) };
        let text =
            std::fs::read_to_string(path).map_err(|error| SettingsError::Read(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| SettingsError::Parse(path.to_owned(), Box::new(error)))
    }

    /// Checks what types alone do not. Called once, after flags and environment have had their say.
    pub fn check(&self) -> Result<(), SettingsError> {
        let server = &self.server;
        let is_colo = server.colo.len() == 3 && server.colo.bytes().all(|byte| byte.is_ascii_uppercase());
        let positive = "it must be at least 1";
        let engine = &self.engine;
        let rules = [
            (
                "server.base_domain",
                &server.base_domain as &dyn std::fmt::Display,
                is_domain(&server.base_domain),
                "it must be a domain name in lower case",
            ),
            ("server.colo", &server.colo, is_colo, "it must be three capital letters"),
            (
                "server.drain_timeout_secs",
                &server.drain_timeout_secs,
                server.drain_timeout_secs <= 30,
                "it must be at most 30",
            ),
            ("engine.idle_timeout_secs", &engine.idle_timeout_secs, 0 < engine.idle_timeout_secs, positive),
            (
                "engine.startup_timeout_secs",
                &engine.startup_timeout_secs,
                0 < engine.startup_timeout_secs,
                positive,
            ),
            ("engine.startup_cpu_ms", &engine.startup_cpu_ms, 0 < engine.startup_cpu_ms, positive),
            (
                "workers.script_bytes_max",
                &self.workers.script_bytes_max,
                0 < self.workers.script_bytes_max,
                positive,
            ),
            ("d1.time_travel_days", &self.d1.time_travel_days, 0 < self.d1.time_travel_days, positive),
            (
                "d1.time_travel_bytes_max",
                &self.d1.time_travel_bytes_max,
                1_000_000 <= self.d1.time_travel_bytes_max,
                "it must be at least 1000000",
            ),
        ];
        for (key, value, is_valid, rule) in rules {
            if !is_valid {
                return Err(SettingsError::Value { key, value: value.to_string(), rule });
            }
        }
        if let Some(acme) = &self.tls.acme {
            acme.check(server)?;
        }
        match self.zones.iter().find(|zone| !is_domain(&zone.name)) {
            Some(zone) => Err(SettingsError::Value {
                key: "zones.name",
                value: zone.name.clone(),
                rule: "it must be a domain name in lower case",
            }),
            None => Ok(()),
        }
    }
}

/// Labels of 1 to 63 lower-case letters, digits and inner dashes, 253 bytes at most (RFC 1035).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::{AcmeSettings, Settings, is_domain};

    #[test]
    fn every_key_stands_in_the_settings_reference() {
        let reference = include_str!("../../../docs/settings.md");
        let mut all = toml::Table::try_from(Settings::default()).unwrap();
        let acme = toml::Table::try_from(AcmeSettings::default()).unwrap();
        all.insert("tls.acme".to_owned(), acme.into());
        for (table, keys) in &all {
            assert!(reference.contains(&format!("[{table}]")), "docs/settings.md has no `[{table}]`");
            for key in keys.as_table().into_iter().flatten().map(|(key, _)| key) {
                assert!(reference.contains(&format!("`{key}`")), "docs/settings.md has no `{key}`");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<Settings>("[server]\nhtpp = \"127.0.0.1:1\"").is_err());
    }

    #[test]
    fn values_outside_their_range_are_named() {
        let acme = |line: &str| {
            let https = "[server]\nhttps = '127.0.0.1:0'\n";
            format!("{https}[tls.acme]\nterms_of_service_agreed = true\n{line}")
        };
        for (text, key) in [
            ("[server]\ncolo = \"local\"", "server.colo"),
            ("[server]\nbase_domain = \"a b\"", "server.base_domain"),
            ("[server]\ndrain_timeout_secs = 31", "server.drain_timeout_secs"),
            ("[engine]\nstartup_cpu_ms = 0", "engine.startup_cpu_ms"),
            ("[tls.acme]", "tls.acme.terms_of_service_agreed"),
            ("[tls.acme]\nterms_of_service_agreed = true", "server.https"),
            (&acme("hosts = ['*.example.com']"), "tls.acme.hosts"),
            (&acme("directory = 'http://localhost'"), "tls.acme.directory"),
            (&acme("contact = 'nobody'"), "tls.acme.contact"),
            (&acme("worker_hosts = true"), "tls.acme.worker_hosts"),
            ("[[zones]]\nname = \"Example.com\"", "zones.name"),
        ] {
            let error = toml::from_str::<Settings>(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        toml::from_str::<Settings>(&acme("contact = 'ops@example.com'")).unwrap().check().unwrap();
        Settings::default().check().unwrap();
    }

    #[test]
    fn domains_have_labels() {
        assert!(is_domain("localhost") && is_domain("apps.example.com"));
        for wrong in ["", ".", "a..b", "-a", "a-", "a_b", "A"] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }
}
