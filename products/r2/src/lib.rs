//! Buckets of objects: workerd's protocol, the v4 routes and the S3 API over one store. The room's README says what it
//! promises and where it differs from Cloudflare.
#![doc = include_str!("../README.md")]

mod binding;
mod error;
mod headers;
mod jobs;
mod model;
mod rest;
mod s3;
mod store;

use std::sync::Arc;

use ::model::BucketName;
use ::store::StoreError;
use product::{House, Product};

pub use s3::{AccessKey, AccessKeys};

use error::R2Error;
use store::Store;

/// What the server gets when it opens R2.
#[derive(Debug)]
pub struct R2 {
    /// R2's doors.
    pub product: Product,
    /// For others who must know which buckets exist.
    pub buckets: Buckets,
}

/// Opens R2's files below the house's data folder and starts its background work.
pub async fn open(house: &House) -> Result<R2, StoreError> {
    let store =
        Arc::new(Store::open(&house.data.join("r2"), house.clock.clone(), house.tasks.clone()).await?);
    jobs::start(Arc::clone(&store), &house.tasks);
    let product = Product {
        name: "r2",
        rest: rest::router(Arc::clone(&store)),
        binding: Some(binding::door(Arc::clone(&store))),
    };
    Ok(R2 { product, buckets: Buckets(store) })
}

/// Which buckets exist; cheap to clone.
#[derive(Debug, Clone)]
pub struct Buckets(Arc<Store>);

impl Buckets {
    /// Closes R2's files with a last checkpoint, once nothing uses them any more.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Makes the S3 API's door for those who hold the keys. Buckets are also hosts below the base domain.
    pub fn s3(&self, keys: Arc<dyn AccessKeys>, base_domain: &str) -> axum::Router {
        s3::router(Arc::clone(&self.0), keys, base_domain)
    }

    /// Whether the bucket exists now.
    pub fn exists(&self, name: &BucketName) -> Result<bool, StoreError> {
        match self.0.bucket_get(name) {
            Ok(bucket) => Ok(bucket.is_some()),
            Err(R2Error::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
