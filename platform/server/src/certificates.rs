//! From settings to certificates: those from files, and those that an ACME server issues.

use std::path::Path;

use acme::{AcmeError, Keeper, Nudge, Wiring};
use ingress::{CertificateFiles, Ingress, Tls, TlsError};
use product::House;
use settings::{AcmeChallenge, CertificateSettings, Settings};
use tasks::Clock;
use telemetry::Metrics;
use workers::Routes;

/// Opens what the door that speaks TLS needs. Blocks on the disk.
pub(crate) fn for_door(data: &Path, settings: &Settings, clock: &Clock) -> Result<Tls, TlsError> {
    let files =
        |pair: &CertificateSettings| CertificateFiles { cert: pair.cert.clone(), key: pair.key.clone() };
    let certificates: Vec<_> = settings.tls.certificates.iter().map(files).collect();
    Tls::open(data, &settings.server.base_domain, &certificates, clock.clone())
}

/// Begins to obtain certificates, if the settings say so. Blocks on the disk.
pub(crate) fn obtain(
    house: &House,
    settings: &Settings,
    tls: Option<Tls>,
    ingress: &Ingress,
    routes: &Routes,
    metrics: &Metrics,
) -> Result<Option<Nudge>, AcmeError> {
    let Some((tls, acme)) = tls.zip(settings.tls.acme.as_ref()) else { return Ok(None) };
    let external = acme.external_account.as_ref();
    let acme = acme::Settings {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        ca_file: acme.ca_file.clone(),
        challenge: match acme.challenge {
            AcmeChallenge::Http01 => acme::Challenge::Http01,
            AcmeChallenge::TlsAlpn01 => acme::Challenge::TlsAlpn01,
        },
        hosts: acme.hosts.clone(),
        is_for_custom_domains: acme.custom_domains,
        worker_domain: acme.worker_hosts.then(|| settings.server.base_domain.to_ascii_lowercase()),
        external_account: external.map(|account| acme::ExternalAccount {
            key_id: account.key_id.clone(),
            key_file: account.key_file.clone(),
        }),
    };
    let wiring = Wiring {
        tls,
        challenges: ingress.challenges(),
        routes: routes.clone(),
        clock: house.clock.clone(),
        tasks: house.tasks.clone(),
        metrics: metrics.clone(),
    };
    let keeper = Keeper::open(&house.data, acme, wiring)?;
    let nudge = keeper.nudge();
    // Validations need the doors, which open in a moment; until then they wait in the listeners' queues.
    house.tasks.spawn("acme", keeper.run());
    Ok(Some(nudge))
}
