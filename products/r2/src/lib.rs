//! Buckets of objects: workerd's protocol, the v4 routes and the S3 API over one store. The room's README says what it
//! promises and where it differs from Cloudflare.
#![doc = include_str!("../README.md")]

mod analytics;
mod binding;
mod domains;
mod error;
mod headers;
mod jobs;
mod model;
mod pages;
mod public;
mod rest;
mod s3;
mod store;

use std::sync::Arc;

use ::model::{BucketName, BucketPlace};
use ::store::{Failure, StoreError};
use axum::{
    body::Body,
    http::{Response, request},
};
use product::{House, Product};

pub use crate::{domains::Domains, model::Usage};
pub use s3::{AccessKey, AccessKeys};

use domains::DomainsLater;
use error::R2Error;
use public::PublicHosts;
use store::{NoEvents, Store};

/// What the server gets when it opens R2.
#[derive(Debug)]
pub struct R2 {
    /// R2's doors.
    pub product: Product,
    /// For others who must know which buckets exist.
    pub buckets: Buckets,
}

/// Opens R2's files below the house's data folder and starts its background work.
///
/// Public buckets are hosts below `r2.<base_domain>`.
pub async fn open(house: &House, base_domain: &str) -> Result<R2, StoreError> {
    // Here whoever keeps events is chosen: nobody, as long as there are no queues to which they could go.
    let events = Arc::new(NoEvents);
    let (clock, tasks) = (house.clock.clone(), house.tasks.clone());
    let store = Arc::new(Store::open(&house.data.join("r2"), clock, tasks, events).await?);
    let hosts = PublicHosts::open(&store, base_domain).await.map_err(|error| match error {
        R2Error::Store(error) => error,
        other => StoreError::Sqlite(Failure {
            tried: "read the public hosts in",
            file: house.data.join("r2"),
            cause: other.to_string(),
        }),
    })?;
    let hosts = Arc::new(hosts);
    let domains = DomainsLater::default();
    jobs::start(Arc::clone(&store), Arc::clone(&domains), &house.tasks);
    let product = Product {
        name: "r2",
        rest: rest::router(rest::Rooms {
            store: Arc::clone(&store),
            hosts: Arc::clone(&hosts),
            domains: Arc::clone(&domains),
        }),
        binding: Some(binding::door(Arc::clone(&store))),
        datasets: vec![analytics::storage(Arc::clone(&store))],
    };
    Ok(R2 { product, buckets: Buckets { store, hosts, domains } })
}

/// Which buckets exist; cheap to clone.
#[derive(Clone)]
pub struct Buckets {
    store: Arc<Store>,
    hosts: Arc<PublicHosts>,
    domains: DomainsLater,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Buckets").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A bucket that anybody may read, found by its host.
#[derive(Debug, Clone)]
pub struct PublicSite {
    store: Arc<Store>,
    bucket: BucketPlace,
}

impl PublicSite {
    /// Answers a reader.
    pub async fn answer(self, head: request::Parts) -> Response<Body> {
        public::answer(&self.store, &self.bucket, head).await
    }
}

impl Buckets {
    /// Closes R2's files with a last checkpoint, once nothing uses them any more.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Makes the S3 API's door for those who hold the keys. Buckets are also hosts below the base domain.
    pub fn s3(&self, keys: Arc<dyn AccessKeys>, base_domain: &str) -> axum::Router {
        s3::router(Arc::clone(&self.store), Arc::clone(&self.domains), keys, base_domain)
    }

    /// Gives buckets someone to keep hosts of their own; only the first call counts.
    pub fn attach(&self, domains: Arc<dyn Domains>) {
        drop(self.domains.set(domains));
    }

    /// The bucket that was given this host of ours, if anybody may read it there.
    #[must_use]
    pub fn at_managed_host(&self, host: &str) -> Option<BucketPlace> {
        self.hosts.find(host)
    }

    /// A bucket to be read by anybody.
    #[must_use]
    pub fn public(&self, bucket: BucketPlace) -> PublicSite {
        PublicSite { store: Arc::clone(&self.store), bucket }
    }

    /// What each bucket holds, from totals that every commit keeps: cheap enough for each scrape of the metrics.
    pub fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        self.store.usage()
    }

    /// Whether the bucket exists now.
    pub fn exists(&self, name: &BucketName) -> Result<bool, StoreError> {
        match self.store.bucket_get(name) {
            Ok(bucket) => Ok(bucket.is_some()),
            Err(R2Error::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
