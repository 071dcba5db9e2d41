//! Hosts of a bucket's own. Whoever keeps the zones knows them; the room asks.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use model::{BucketDomain, BucketPlace, NewBucketDomain};
use v4::ApiError;

/// Given once the server has opened whoever keeps the zones.
pub(crate) type DomainsLater = Arc<OnceLock<Arc<dyn Domains>>>;

/// Who keeps the hosts of zones. Errors are what the API answers.
pub trait Domains: Send + Sync {
    /// The hosts of a bucket, in order.
    fn list(&self, bucket: BucketPlace) -> BoxFuture<'_, Result<Vec<BucketDomain>, ApiError>>;

    /// Gives a host to a bucket, or changes how it answers there.
    fn put(&self, new: NewBucketDomain) -> BoxFuture<'_, Result<BucketDomain, ApiError>>;

    /// Takes a host from a bucket.
    fn delete(&self, bucket: BucketPlace, hostname: String) -> BoxFuture<'_, Result<(), ApiError>>;

    /// The ids of all buckets that have hosts.
    fn owners(&self) -> BoxFuture<'_, Result<Vec<String>, ApiError>>;

    /// Takes all its hosts from a bucket that is not there any more.
    fn forget(&self, bucket_id: String) -> BoxFuture<'_, Result<(), ApiError>>;
}

/// Gives back the hosts of a bucket that was just deleted. If that fails, the next round of `jobs` makes up for it.
pub(crate) async fn give_back(domains: &DomainsLater, bucket_id: String) {
    if let Some(domains) = domains.get()
        && let Err(error) = domains.forget(bucket_id).await
    {
        tracing::warn!(error = error.message, "The hosts of a deleted bucket are given back later");
    }
}
