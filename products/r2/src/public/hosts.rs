//! Which host is which bucket's: in memory, since the public door asks for each request.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use model::BucketPlace;
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    R2Error,
    model::{Bucket, Hosts, managed_host},
    store::{Setting, Store},
};

/// The hosts of all buckets.
#[derive(Debug)]
pub(crate) struct PublicHosts {
    base_domain: String,
    buckets: RwLock<HashMap<String, BucketPlace>>,
    changing: Mutex<()>,
}

impl PublicHosts {
    /// Reads what all buckets have.
    pub(crate) async fn open(store: &Store, base_domain: &str) -> Result<Self, R2Error> {
        let base_domain = base_domain.to_ascii_lowercase();
        let hosts = Self { base_domain, buckets: RwLock::default(), changing: Mutex::default() };
        for (bucket, set) in store.settings::<Hosts>(Setting::Hosts).await? {
            hosts.publish(&bucket, &set);
        }
        Ok(hosts)
    }

    /// The bucket at a host.
    pub(crate) fn find(&self, host: &str) -> Option<BucketPlace> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if buckets.is_empty() {
            return None;
        }
        buckets.get(&host.to_ascii_lowercase()).cloned()
    }

    /// Held from a change on disk to its publication, so that the last change is the one in force.
    pub(crate) async fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
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
            buckets.insert(host, BucketPlace { id: bucket.id.clone(), name: bucket.name.to_string() });
        } else {
            buckets.remove(&host);
        }
    }
}
