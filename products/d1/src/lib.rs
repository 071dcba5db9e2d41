//! SQL databases: workerd's D1 protocol and the v4 routes over one SQLite file for each database. The room's README says
//! what it promises and where it differs from Cloudflare.
#![doc = include_str!("../README.md")]

mod analytics;
mod binding;
mod error;
mod history;
mod jobs;
mod model;
mod rest;
mod sql;
mod store;
mod transfer;
mod usage;

use std::{sync::Arc, time::Duration};

use ::model::DatabaseId;
use ::store::StoreError;
use product::{House, Product};

use error::D1Error;
use history::Limits;
pub use store::MIGRATIONS;
use store::Store;

/// What the server gets when it opens D1.
#[derive(Debug)]
pub struct D1 {
    /// D1's doors.
    pub product: Product,
    /// For others who must know which databases exist.
    pub databases: Databases,
}

/// What is kept of a database's past.
#[derive(Debug, Clone, Copy)]
pub struct TimeTravel {
    /// How long every commit can be restored.
    pub keep: Duration,
    /// Bytes of one database's history at which its oldest part goes earlier.
    pub bytes_max: u64,
}

/// Opens D1 and starts its background work. Its tables in `meta.sqlite` are there: see [`MIGRATIONS`].
pub fn open(house: &House, time_travel: TimeTravel) -> Result<D1, StoreError> {
    let limits = Limits::new(time_travel.keep, time_travel.bytes_max);
    let store = Arc::new(Store::open(house, limits)?);
    jobs::start(Arc::clone(&store), &house.tasks);
    let product = Product {
        name: "d1",
        rest: rest::router(Arc::clone(&store)),
        binding: Some(binding::door(Arc::clone(&store))),
        datasets: analytics::datasets(&store),
    };
    Ok(D1 { product, databases: Databases(store) })
}

/// Which databases exist; cheap to clone.
#[derive(Debug, Clone)]
pub struct Databases(Arc<Store>);

impl Databases {
    /// Closes the databases' files, once nothing uses them any more.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Routes for those who were given a URL of theirs: they need no token.
    pub fn signed_urls(&self) -> axum::Router {
        rest::signed(Arc::clone(&self.0))
    }

    /// Statements run and rows read and written since the start, under the names that metrics have for them.
    #[must_use]
    pub fn totals(&self) -> [(&'static str, u64); 4] {
        self.0.usage.totals()
    }

    /// Bytes that the histories of open databases take, by the databases' ids, as they were when last tidied.
    #[must_use]
    pub fn history_bytes(&self) -> Vec<(String, u64)> {
        self.0.history_bytes()
    }

    /// How many databases have their files open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.0.open_count()
    }

    /// Closes the databases that nobody has used for a while, as happens by itself now and then.
    pub async fn close_idle(&self) {
        self.0.close_idle().await;
    }

    /// Whether the database exists now.
    pub fn exists(&self, id: DatabaseId) -> Result<bool, StoreError> {
        Ok(self.0.database_get(id)?.is_some())
    }
}
