//! `DIR/credentials.json` (mode 0600): the account and the first token, for `skerry env`. The server itself keeps no token's
//! text.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

/// What a client needs to be let in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The one account.
    pub account_id: String,
    /// The token's identifier.
    pub token_id: String,
    /// The token's text.
    pub token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// What the data folder's file says; `None` if there is none.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(file(data)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The secret that goes with the token's id in S3 clients.
    #[must_use]
    pub fn s3_secret(&self) -> String {
        control_plane::s3_secret(&self.token)
    }

    pub(crate) fn write(&self, data: &Path) -> Result<(), store::StoreError> {
        let text = serde_json::to_vec_pretty(self).expect("plain strings are always JSON");
        store::atomic_write(&file(data), &text, 0o600)
    }
}

fn file(data: &Path) -> std::path::PathBuf {
    data.join("credentials.json")
}
