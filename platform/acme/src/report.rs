//! What lies on disk, for a person: `skerry doctor` asks.

use std::{collections::BTreeMap, path::Path};

use crate::{AcmeError, Failure, folder::Folder};

/// What is known of one host.
#[derive(Debug, Default)]
pub struct HostReport {
    /// Whole days until its certificate expires, or why the file cannot be used; `None` without a file.
    pub days_left: Option<Result<i64, AcmeError>>,
    /// If the last try failed.
    pub failure: Option<Failure>,
}

/// Every host with a certificate or a failure. Blocks on the disk.
pub fn report(
    data: &Path,
    directory: &str,
    now_unix_secs: u64,
) -> Result<BTreeMap<String, HostReport>, AcmeError> {
    let folder = Folder::of(data, directory);
    let mut reports: BTreeMap<String, HostReport> = BTreeMap::new();
    for host in folder.hosts()? {
        let days_left = folder.read(&host).map(|certificate| certificate.days_left(now_unix_secs));
        reports.entry(host).or_default().days_left = Some(days_left);
    }
    for (host, failure) in folder.failures() {
        reports.entry(host).or_default().failure = Some(failure);
    }
    Ok(reports)
}
