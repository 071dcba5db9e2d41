//! Custom domains of R2 buckets. They are kept beside those of Workers, so that one transaction gives a host to one owner,
//! one table says who answers, and a zone takes all its hosts with it.

use std::sync::Arc;

use model::{BucketDomain, NewBucketDomain};

use crate::{
    error::WorkersError, pattern::is_host, register::Register, store::buckets as rows, zones::ZoneKey,
};

impl Register {
    /// The hosts of a bucket, in order.
    pub async fn bucket_domains(&self, bucket_id: String) -> Result<Vec<BucketDomain>, WorkersError> {
        self.store().meta().read(move |db| rows::of_bucket(db, &bucket_id)).await
    }

    /// Gives a host to a bucket, or changes how it answers there. A host that is another's already stays so.
    pub async fn put_bucket_domain(
        self: &Arc<Self>,
        mut new: NewBucketDomain,
    ) -> Result<BucketDomain, WorkersError> {
        if !is_host(&new.hostname) {
            return Err(WorkersError::DomainInvalid(new.hostname));
        }
        new.hostname.make_ascii_lowercase();
        let line = format!("Bucket `{}` has the custom domain {}", new.bucket.name, new.hostname);
        let put = self.change_zones(move |db| rows::put(db, &ZoneKey::new(new.zone_id.clone(), None), &new));
        let domain = put.await?;
        tracing::info!("{line}");
        Ok(domain)
    }

    /// Takes a host from a bucket.
    pub async fn delete_bucket_domain(
        self: &Arc<Self>,
        bucket_id: String,
        hostname: String,
    ) -> Result<(), WorkersError> {
        let hostname = hostname.to_ascii_lowercase();
        self.change_zones(move |db| rows::delete(db, &bucket_id, &hostname)).await
    }

    /// The ids of all buckets that have hosts.
    pub async fn bucket_domain_owners(&self) -> Result<Vec<String>, WorkersError> {
        let all = self.store().meta().read(rows::all).await?;
        Ok(all.into_iter().map(|domain| domain.bucket.id).collect())
    }

    /// Takes all its hosts from a bucket that is not there any more.
    pub async fn forget_bucket_domains(self: &Arc<Self>, bucket_id: String) -> Result<(), WorkersError> {
        // Few buckets have any, and nothing has to be published for the others.
        if self.bucket_domains(bucket_id.clone()).await?.is_empty() {
            return Ok(());
        }
        self.change_zones(move |db| rows::forget(db, &bucket_id)).await
    }
}
