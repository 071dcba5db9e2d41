//! Durable Objects: where they are kept, which process may run them, when their alarms are due, and what is in them. The
//! room's README says what it promises and where it differs from Cloudflare.
#![doc = include_str!("../README.md")]

mod archive;
mod error;
mod homes;
mod jobs;
mod model;
mod pipe;
mod rest;
mod settle;
mod store;
mod transfer;

use std::{fmt, io, sync::Arc};

use ::model::{ObjectNamespaceId, Objects, ScriptName, ScriptTag};
use ::store::StoreError;
use futures_util::future::BoxFuture;
use product::{Claim, House, ObjectHomes, Product};

use homes::Homes;

/// What the server gets when it opens the room.
#[derive(Debug)]
pub struct DurableObjects {
    /// The room's doors.
    pub product: Product,
    /// Where the objects are kept.
    pub homes: ObjectStore,
}

/// A namespace, and where its objects are kept.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Its id.
    pub id: ObjectNamespaceId,
    /// The Worker that implements its class.
    pub script: ScriptName,
    /// That Worker's immutable name.
    pub home: ScriptTag,
    /// The class.
    pub class: String,
}

/// Knows which namespaces there are, and starts the Workers that implement them. The server implements it.
pub trait Registry: Send + Sync {
    /// All namespaces.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, String>>;

    /// Lets the process that runs the objects of this home end, if one does; it is started again when it is asked for.
    fn stop<'a>(&'a self, home: &'a ScriptTag) -> BoxFuture<'a, Result<(), String>>;

    /// Starts the process that runs the objects of this home, unless it runs.
    fn wake<'a>(&'a self, home: &'a ScriptTag) -> BoxFuture<'a, Result<(), String>>;
}

/// Where all objects are kept; cheap to clone.
#[derive(Clone)]
pub struct ObjectStore(Arc<Homes>);

impl fmt::Debug for ObjectStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectStore").field("folder", &self.0.folder()).finish_non_exhaustive()
    }
}

/// Opens the folder of the objects below the house's data folder.
pub fn open(house: &House) -> Result<DurableObjects, StoreError> {
    let homes =
        Arc::new(Homes::open(&house.data.join("durable-objects"), house.clock.clone(), house.tasks.clone())?);
    let product = Product {
        name: "durable-objects",
        rest: rest::router(Arc::clone(&homes)),
        binding: None,
        datasets: Vec::new(),
    };
    Ok(DurableObjects { product, homes: ObjectStore(homes) })
}

impl ObjectStore {
    /// Tells which namespaces there are, and begins to look after alarms and after what was deleted. Only the first call
    /// counts.
    pub fn attach(&self, registry: Arc<dyn Registry>, tasks: &tasks::Tasks) {
        if self.0.attach(registry) {
            jobs::start(Arc::clone(&self.0), tasks);
        }
    }
}

impl ObjectHomes for ObjectStore {
    fn claim<'a>(&'a self, objects: &'a Objects) -> BoxFuture<'a, io::Result<Option<Claim>>> {
        Box::pin(homes::claim(Arc::clone(&self.0), objects.clone()))
    }
}
