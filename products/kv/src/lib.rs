//! Namespaces of keys with values, metadata and expiry. The room's README says what it promises and where it differs from
//! Cloudflare.
#![doc = include_str!("../README.md")]

mod binding;
mod bulk;
mod error;
mod jobs;
mod model;
mod rest;
mod store;

use std::sync::Arc;

use ::model::NamespaceId;
use ::store::StoreError;
use product::{House, Product};

use error::KvError;
use store::Store;

/// What the server gets when it opens KV.
#[derive(Debug)]
pub struct Kv {
    /// KV's doors.
    pub product: Product,
    /// For others who must know which namespaces exist.
    pub namespaces: Namespaces,
}

/// Opens KV's files below the house's data folder and starts its background work.
pub async fn open(house: &House) -> Result<Kv, StoreError> {
    let store =
        Arc::new(Store::open(&house.data.join("kv"), house.clock.clone(), house.tasks.clone()).await?);
    jobs::start(Arc::clone(&store), &house.tasks);
    let product = Product {
        name: "kv",
        rest: rest::router(Arc::clone(&store)),
        binding: Some(binding::door(Arc::clone(&store))),
        datasets: Vec::new(),
    };
    Ok(Kv { product, namespaces: Namespaces(store) })
}

/// What a namespace holds. Keys whose time has come count until they are swept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its id.
    pub namespace: String,
    /// How many keys.
    pub keys: u64,
    /// How many bytes their values have.
    pub bytes: u64,
}

/// Which namespaces exist; cheap to clone.
#[derive(Debug, Clone)]
pub struct Namespaces(Arc<Store>);

impl Namespaces {
    /// Closes KV's files with a last checkpoint, once nothing uses them any more.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// What each namespace holds, from totals that every write keeps: cheap enough for each scrape of the metrics.
    pub fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        let rows = self.0.usage()?;
        Ok(rows.into_iter().map(|(namespace, keys, bytes)| Usage { namespace, keys, bytes }).collect())
    }

    /// Whether the namespace exists now.
    pub fn exists(&self, id: &NamespaceId) -> Result<bool, StoreError> {
        Ok(self.0.namespace_get(id)?.is_some())
    }
}
