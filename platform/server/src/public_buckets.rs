//! How R2's buckets come to hosts: the ingress asks which bucket a host is, and R2 asks the register to keep the hosts that
//! buckets are given in zones.

use std::sync::Arc;

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use model::{BucketDomain, BucketPlace, NewBucketDomain};
use v4::ApiError;
use workers::{Register, Routes};

/// Public buckets as the ingress sees them.
#[derive(Clone)]
pub(crate) struct PublicBuckets {
    pub(crate) buckets: r2::Buckets,
    pub(crate) routes: Routes,
}

impl PublicBuckets {
    /// Whether anybody may read a bucket at this host.
    pub(crate) fn serves(&self, host: &str) -> bool {
        self.bucket(host).is_some()
    }

    /// A host in a zone comes before one that buckets are given by us.
    fn bucket(&self, host: &str) -> Option<BucketPlace> {
        self.routes.find_bucket(host).or_else(|| self.buckets.at_managed_host(host))
    }
}

impl ingress::Sites for PublicBuckets {
    fn find(&self, host: &str) -> Option<ingress::Site> {
        let site = self.buckets.public(self.bucket(host)?);
        Some(Arc::new(move |request| {
            let (head, _body) = request.into_parts();
            let site = site.clone();
            async move { site.answer(head).await.map(ingress::Body::other) }.boxed()
        }))
    }
}

/// The register as R2 sees it.
pub(crate) struct BucketDomains(pub(crate) Arc<Register>);

impl r2::Domains for BucketDomains {
    fn list(&self, bucket: BucketPlace) -> BoxFuture<'_, Result<Vec<BucketDomain>, ApiError>> {
        self.0.bucket_domains(bucket.id).err_into().boxed()
    }

    fn put(&self, new: NewBucketDomain) -> BoxFuture<'_, Result<BucketDomain, ApiError>> {
        self.0.put_bucket_domain(new).err_into().boxed()
    }

    fn delete(&self, bucket: BucketPlace, hostname: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.0.delete_bucket_domain(bucket.id, hostname).err_into().boxed()
    }

    fn owners(&self) -> BoxFuture<'_, Result<Vec<String>, ApiError>> {
        self.0.bucket_domain_owners().err_into().boxed()
    }

    fn forget(&self, bucket_id: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.0.forget_bucket_domains(bucket_id).err_into().boxed()
    }
}
