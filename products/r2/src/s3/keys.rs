//! Whose keys open the door, and what they may do. Keys are API tokens: the id is the token's, the secret the SHA-256 of its
//! text in hex (Cloudflare: R2, S3 API tokens).

use std::sync::Arc;

use axum::http::Method;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    s3_error,
};

/// All operations that only read have one of these methods.
const READING: [Method; 2] = [Method::GET, Method::HEAD];

/// A key that may be used now.
#[derive(Clone)]
pub struct AccessKey {
    /// What requests are signed with.
    pub secret: String,
    /// Whether it may read.
    pub can_read: bool,
    /// Whether it may write.
    pub can_write: bool,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { can_read, can_write, .. } = self;
        formatter
            .debug_struct("AccessKey")
            .field("can_read", can_read)
            .field("can_write", can_write)
            .finish_non_exhaustive()
    }
}

/// Who knows the keys. Asked for each request, so that a revoked key ends at once.
pub trait AccessKeys: Send + Sync + 'static {
    /// The key of this id, if it may be used now.
    fn find(&self, id: &str) -> Option<AccessKey>;
}

/// Says `s3s` what requests are signed with.
pub(super) struct Secrets(pub(super) Arc<dyn AccessKeys>);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let key = self.0.find(id).ok_or_else(|| {
            s3_error!(InvalidAccessKeyId, "The access key ID you provided does not exist in our records.")
        })?;
        Ok(SecretKey::from(key.secret))
    }
}

/// Says `s3s` who may do what.
pub(super) struct Rights(pub(super) Arc<dyn AccessKeys>);

#[async_trait::async_trait]
impl S3Access for Rights {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let credentials = context.credentials();
        let key = credentials.and_then(|credentials| self.0.find(&credentials.access_key));
        let is_reading = READING.contains(context.method());
        match key {
            Some(key) if if is_reading { key.can_read } else { key.can_write } => Ok(()),
            _ => Err(s3_error!(AccessDenied, "Access Denied")),
        }
    }
}
