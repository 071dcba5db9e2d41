//! Hosts of a bucket's own. Whoever keeps the zones knows them; the room asks.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use v4::ApiError;

/// A host at which anybody reads a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomDomain {
    /// In lower case.
    pub hostname: String,
    /// The zone it is in.
    pub zone_id: String,
    /// That zone's name.
    pub zone_name: String,
    /// Whether it answers.
    pub is_enabled: bool,
    /// The oldest TLS that its owner wants spoken there.
    pub min_tls: String,
}

/// A host that a bucket's owner wants.
#[derive(Debug, Clone)]
pub struct NewDomain {
    /// In any case.
    pub hostname: String,
    /// The zone; that of the host, if it is not said.
    pub zone_id: Option<String>,
    /// Whether it answers.
    pub is_enabled: bool,
    /// The oldest TLS to be spoken there.
    pub min_tls: String,
}

/// Which bucket: one of the same name that is made later has another id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// 32 hex digits.
    pub id: String,
    /// As Workers name it.
    pub name: String,
}

/// Given once the server has opened whoever keeps the zones.
pub(crate) type DomainsLater = Arc<OnceLock<Arc<dyn Domains>>>;

/// Who keeps the hosts of zones. Errors are what the API answers.
pub trait Domains: Send + Sync {
    /// The hosts of a bucket, in order.
    fn list(&self, bucket: BucketPlace) -> BoxFuture<'_, Result<Vec<CustomDomain>, ApiError>>;

    /// Gives a host to a bucket, or changes how it answers there.
    fn put(&self, bucket: BucketPlace, domain: NewDomain) -> BoxFuture<'_, Result<CustomDomain, ApiError>>;

    /// Takes a host from a bucket.
    fn delete(&self, bucket: BucketPlace, hostname: String) -> BoxFuture<'_, Result<(), ApiError>>;

    /// The ids of all buckets that have hosts.
    fn owners(&self) -> BoxFuture<'_, Result<Vec<String>, ApiError>>;

    /// Takes all its hosts from a bucket that is not there any more.
    fn forget(&self, bucket_id: String) -> BoxFuture<'_, Result<(), ApiError>>;
}
