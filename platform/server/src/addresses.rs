//! `DIR/run/addresses.json`: where the doors of the running server are, for the other commands and for tests.

use std::{io, net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};

/// Origins without path or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Where Workers answer.
    pub http: String,
    /// Where Workers answer over TLS, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// Where the v4 API answers.
    pub api: String,
    /// Where R2's S3 API answers.
    pub s3: String,
    /// The server's process.
    pub pid: u32,
}

impl Addresses {
    /// The origins of bound sockets, served by this process.
    #[must_use]
    pub fn new(http: SocketAddr, https: Option<SocketAddr>, api: SocketAddr, s3: SocketAddr) -> Self {
        Self {
            http: format!("http://{http}"),
            https: https.map(|https| format!("https://{https}")),
            api: format!("http://{api}"),
            s3: format!("http://{s3}"),
            pid: std::process::id(),
        }
    }

    /// What the data folder's file says; `None` if there is none. A server that was killed leaves its file behind: see
    /// [`Addresses::is_served`].
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(file(data)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a server runs on the data folder now.
    #[must_use]
    pub fn is_served(data: &Path) -> bool {
        crate::lock::holder(data).is_some()
    }

    pub(crate) fn write(&self, data: &Path) -> Result<(), store::StoreError> {
        let text = serde_json::to_vec(self).expect("plain strings and numbers are always JSON");
        store::atomic_write(&file(data), &text, 0o644)
    }

    pub(crate) fn remove(data: &Path) {
        // A file that stays behind is recognised by the lock nobody holds.
        std::fs::remove_file(file(data)).ok();
    }
}

fn file(data: &Path) -> std::path::PathBuf {
    data.join("run/addresses.json")
}
