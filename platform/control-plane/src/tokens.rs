//! API tokens: made, listed, revoked, recognised. All are held in memory (there are few), so a request needs no query.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::Method;
use model::{AccountId, TokenId};
use product::House;
use sha2::{Digest, Sha256};
use store::{
    Database, Migration, StoreError, Vault, VaultError,
    rusqlite::{self, Connection, params},
};
use subtle::ConstantTimeEq;
use tasks::{Clock, Tasks};

use crate::scope::{self, Policy};

/// The control plane's tables in `meta.sqlite`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    name: "2026-11-21-control-plane-init",
    sql: include_str!("../migrations/2026-11-21-init.sql"),
}];

/// Most tokens at a time; each is compared with on every request.
pub(crate) const TOKENS_MAX: usize = 200;

/// Longest name of a token (Cloudflare: API, Create Token).
pub(crate) const TOKEN_NAME_BYTES_MAX: usize = 120;

/// The characters of a token's text, as of Cloudflare's; 64, so that each carries six random bits.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The length of a token's text: 240 random bits.
const TOKEN_BYTES: usize = 40;

/// What `credentials.json` holds.
#[derive(Clone, serde::Serialize)]
pub struct Credentials {
    /// The one account.
    pub account_id: AccountId,
    /// The first token.
    pub token_id: TokenId,
    /// Its text; this is the only time it can be read.
    pub token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// What can go wrong with tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such token.
    #[error("token {0} does not exist")]
    Missing(String),
    /// What was asked for cannot be a token.
    #[error("{0}")]
    Invalid(String),
    /// A row does not say what we once wrote.
    #[error("the list of tokens holds an unreadable {0}")]
    Damaged(&'static str),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A token's hash does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<rusqlite::Error> for TokenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The tokens of this installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    meta: Database,
    vault: Vault,
    clock: Clock,
    tasks: Tasks,
    account: AccountId,
    active: Arc<RwLock<Vec<Arc<Token>>>>,
}

/// A token, apart from its text.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) policies: Vec<Policy>,
    pub(crate) issued_ms: u64,
    pub(crate) not_before_ms: Option<u64>,
    pub(crate) expires_ms: Option<u64>,
    sha256: [u8; 32],
}

/// What someone asks of a new token.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) policies: Vec<Policy>,
    pub(crate) not_before_ms: Option<u64>,
    pub(crate) expires_ms: Option<u64>,
}

/// A token as R2's S3 API sees it.
pub struct S3Key {
    /// What requests are signed with.
    pub secret: String,
    /// Whether it may read objects.
    pub can_read: bool,
    /// Whether it may write objects.
    pub can_write: bool,
}

impl std::fmt::Debug for S3Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("S3Key").field("can_write", &self.can_write).finish_non_exhaustive()
    }
}

impl Token {
    /// `active`, or why it is not.
    pub(crate) fn status(&self, now_ms: u64) -> &'static str {
        let is_early = self.not_before_ms.is_some_and(|not_before_ms| now_ms < not_before_ms);
        let is_expired = self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        match (is_early, is_expired) {
            (_, true) => "expired",
            (true, false) => "disabled",
            (false, false) => "active",
        }
    }
}

impl Tokens {
    /// Reads all tokens.
    pub async fn open(house: &House) -> Result<Self, TokenError> {
        let (meta, vault) = (house.meta.clone(), house.vault.clone());
        let opener = vault.clone();
        let active = meta.read(move |db| all(db, &opener)).await?;
        let active = Arc::new(RwLock::new(active));
        let (clock, tasks, account) = (house.clock.clone(), house.tasks.clone(), house.account.clone());
        Ok(Self { meta, vault, clock, tasks, account, active })
    }

    /// Whether this is the text of a token that may be used now.
    #[must_use]
    pub fn accepts(&self, text: &str) -> bool {
        self.recognise(text).is_some()
    }

    /// The token as a key of R2's S3 API (Cloudflare: R2, S3 API tokens), if it may be used now: its id is the access key id,
    /// its text's SHA-256 in hex the secret.
    #[must_use]
    pub fn s3_key(&self, id: &str) -> Option<S3Key> {
        let token = self.get(&id.parse().ok()?).filter(|token| token.status(self.now_ms()) == "active")?;
        let can = |method| scope::allows(&token.policies, &method, "/accounts/-/r2/buckets");
        Some(S3Key {
            secret: hex::encode(token.sha256),
            can_read: can(Method::GET),
            can_write: can(Method::PUT),
        })
    }

    /// Makes a token that may do everything: the first one, or one for a server whose kept credentials are gone (a crash
    /// between making the first token and keeping it leaves that too).
    pub async fn make_owner(&self) -> Result<Credentials, TokenError> {
        let new = NewToken {
            name: "owner".to_owned(),
            policies: vec![Policy::everything(&self.account)],
            not_before_ms: None,
            expires_ms: None,
        };
        let (token, text) = self.create(new).await?;
        let account_id = self.account.clone();
        Ok(Credentials { account_id, token_id: token.id.clone(), token: text })
    }

    /// The token whose text this is, if it may be used now.
    pub(crate) fn recognise(&self, text: &str) -> Option<Arc<Token>> {
        let sha256 = digest(text);
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        // All are compared, in constant time each, so that timing tells nothing of how much of a guess was right.
        let mut found = None;
        for token in active.iter() {
            if bool::from(token.sha256.ct_eq(&sha256)) {
                found = Some(Arc::clone(token));
            }
        }
        drop(active);
        found.filter(|token| token.status(self.clock.unix_ms()) == "active")
    }

    /// Makes a token; the text is returned here and nowhere else.
    pub(crate) async fn create(&self, new: NewToken) -> Result<(Arc<Token>, String), TokenError> {
        let text = random_text()?;
        let token = Arc::new(Token {
            id: TokenId::random(),
            name: new.name,
            policies: new.policies,
            issued_ms: self.clock.unix_ms(),
            not_before_ms: new.not_before_ms,
            expires_ms: new.expires_ms,
            sha256: digest(&text),
        });
        let sealed = self.vault.seal(&purpose(&token.id), &token.sha256);
        let (row, kept) = (Arc::clone(&token), Arc::clone(&token));
        self.change(move |db| insert(db, &row, &sealed), move |active| active.push(kept)).await?;
        Ok((token, text))
    }

    /// Ends a token at once.
    pub(crate) async fn revoke(&self, id: &TokenId) -> Result<(), TokenError> {
        let (row, gone) = (id.clone(), id.clone());
        let delete = move |db: &Connection| {
            let deleted = db.execute("DELETE FROM control_plane_tokens WHERE id = ?1", [row.as_str()])?;
            if deleted == 0 { Err(TokenError::Missing(row.to_string())) } else { Ok(()) }
        };
        self.change(delete, move |active| active.retain(|token| token.id != gone)).await
    }

    /// Changes the file and then what is in memory. Both happen even if the caller hangs up in between: a token that is
    /// revoked in the file alone would open doors until the next start.
    async fn change(
        &self,
        write: impl FnOnce(&Connection) -> Result<(), TokenError> + Send + 'static,
        publish: impl FnOnce(&mut Vec<Arc<Token>>) + Send + 'static,
    ) -> Result<(), TokenError> {
        let (meta, active) = (self.meta.clone(), Arc::clone(&self.active));
        let change = async move {
            meta.write(write).await?;
            publish(&mut active.write().unwrap_or_else(PoisonError::into_inner));
            Ok(())
        };
        self.tasks.to_the_end("token-change", change).await.ok_or(StoreError::Closed)?
    }

    /// All tokens, oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<Token>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One token.
    pub(crate) fn get(&self, id: &TokenId) -> Option<Arc<Token>> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        active.iter().find(|token| token.id == *id).cloned()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }
}

fn insert(db: &Connection, token: &Token, sealed: &[u8]) -> Result<(), TokenError> {
    let count: usize = db.query_row("SELECT count(*) FROM control_plane_tokens", [], |row| row.get(0))?;
    if TOKENS_MAX <= count {
        return Err(TokenError::Invalid(format!("there are already {TOKENS_MAX} tokens; revoke one first")));
    }
    let policies = serde_json::to_string(&token.policies).map_err(|_cause| TokenError::Damaged("policy"))?;
    db.execute(
        "INSERT INTO control_plane_tokens (id, name, sealed_sha256, policies, issued_ms, not_before_ms, expires_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            token.id.as_str(),
            token.name,
            sealed,
            policies,
            token.issued_ms,
            token.not_before_ms,
            token.expires_ms
        ],
    )?;
    Ok(())
}

fn all(db: &Connection, vault: &Vault) -> Result<Vec<Arc<Token>>, TokenError> {
    let mut statement = db.prepare(
        "SELECT id, name, sealed_sha256, policies, issued_ms, not_before_ms, expires_ms \
         FROM control_plane_tokens ORDER BY issued_ms, id",
    )?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let id: TokenId = id.parse().map_err(|_cause| TokenError::Damaged("token id"))?;
        let sealed: Vec<u8> = row.get(2)?;
        let sha256 = vault.open_sealed(&purpose(&id), &sealed)?;
        let policies: String = row.get(3)?;
        tokens.push(Arc::new(Token {
            sha256: sha256.try_into().map_err(|_cause| TokenError::Damaged("token hash"))?,
            policies: serde_json::from_str(&policies).map_err(|_cause| TokenError::Damaged("policy"))?,
            id,
            name: row.get(1)?,
            issued_ms: row.get(4)?,
            not_before_ms: row.get(5)?,
            expires_ms: row.get(6)?,
        }));
    }
    Ok(tokens)
}

/// The secret of a token as a key of R2's S3 API.
#[must_use]
pub fn s3_secret(text: &str) -> String {
    hex::encode(digest(text))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn random_text() -> Result<String, TokenError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}

fn purpose(id: &TokenId) -> String {
    format!("token/{id}")
}
