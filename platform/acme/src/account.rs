//! The account at the ACME server: made when first needed, kept in a file, made anew when the server has forgotten it.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use crate::{AcmeError, ExternalAccount, Settings, folder::Folder, http_client::Client};

/// The account, once somebody has asked for it.
pub(crate) struct Accounts {
    settings: Settings,
    client: Client,
    folder: Folder,
    open: Mutex<Option<Account>>,
}

impl Accounts {
    pub(crate) fn new(settings: Settings, client: Client, folder: Folder) -> Self {
        Self { settings, client, folder, open: Mutex::default() }
    }

    /// The account. Of several callers the first one makes it, and the others wait.
    pub(crate) async fn get(&self) -> Result<Account, AcmeError> {
        let mut open = self.open.lock().await;
        if let Some(account) = &*open {
            return Ok(account.clone());
        }
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = match self.folder.read_account()? {
            Some(text) => {
                let credentials: AccountCredentials = serde_json::from_str(&text).map_err(|error| {
                    AcmeError::File(
                        self.folder.account(),
                        format!("{error}; remove it, and a new account is made"),
                    )
                })?;
                builder.from_credentials(credentials).await?
            }
            None => self.make(builder).await?,
        };
        *open = Some(account.clone());
        Ok(account)
    }

    /// Forgets an account that the server no longer knows.
    pub(crate) async fn forget(&self) -> Result<(), AcmeError> {
        *self.open.lock().await = None;
        self.folder.remove_account()
    }

    async fn make(&self, builder: instant_acme::AccountBuilder) -> Result<Account, AcmeError> {
        let contact: Vec<String> =
            self.settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            // The settings are refused without it.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.settings.external_account.as_ref().map(external_key).transpose()?;
        let directory = self.settings.directory.clone();
        let (account, credentials) = builder.create(&wanted, directory, external.as_ref()).await?;
        let text = serde_json::to_string(&credentials).expect("credentials are text and bytes");
        self.folder.write_account(text).await?;
        tracing::info!(account = account.id(), "Made an account at the ACME server");
        Ok(account)
    }
}

fn external_key(account: &ExternalAccount) -> Result<ExternalAccountKey, AcmeError> {
    let unusable = |cause: String| AcmeError::File(PathBuf::from(&account.key_file), cause);
    let text = fs::read_to_string(&account.key_file).map_err(|error| unusable(error.to_string()))?;
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key = key.map_err(|_cause| unusable("it is not a key in base64url".to_owned()))?;
    Ok(ExternalAccountKey::new(account.key_id.clone(), &key))
}
