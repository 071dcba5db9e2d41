//! Which host is which bucket's: in memory, since the public door asks for each request.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use model::BucketName;

use crate::{
    R2Error,
    model::{Bucket, Hosts, managed_host},
    store::{Setting, Store},
};

/// The hosts of all buckets.
#[derive(Debug)]
pub(crate) struct PublicHosts {
    base_domain: String,
    buckets: RwLock<HashMap<String, PublicBucket>>,
}

/// A bucket as it was when its host was published: one of the same name made later is another.
#[derive(Debug, Clone)]
pub(crate) struct PublicBucket {
    pub(super) name: BucketName,
    pub(super) id: String,
}

impl PublicHosts {
    /// Reads what all buckets have.
    pub(crate) async fn open(store: &Store, base_domain: &str) -> Result<Self, R2Error> {
        let hosts = Self { base_domain: base_domain.to_ascii_lowercase(), buckets: RwLock::default() };
        for (bucket, set) in store.settings::<Hosts>(Setting::Hosts).await? {
            hosts.publish(&bucket, &set);
        }
        Ok(hosts)
    }

    /// The bucket at a host.
    pub(crate) fn find(&self, host: &str) -> Option<PublicBucket> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if buckets.is_empty() {
            return None;
        }
        buckets.get(&host.to_ascii_lowercase()).cloned()
    }

    /// The host that a bucket is given.
    pub(crate) fn managed(&self, bucket: &Bucket) -> String {
        managed_host(&bucket.id, &self.base_domain)
    }

    /// Puts in force what a bucket's owner has set.
    pub(crate) fn publish(&self, bucket: &Bucket, set: &Hosts) {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let host = self.managed(bucket);
        if set.is_managed {
            buckets.insert(host, PublicBucket { name: bucket.name.clone(), id: bucket.id.clone() });
        } else {
            buckets.remove(&host);
        }
    }
}
