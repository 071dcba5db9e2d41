//! Where databases lie: one folder and one SQLite file each, opened when first used and closed when idle; which there are
//! stands in `meta.sqlite`. The only part of the room that knows files.

mod checkpoints;
mod database;
mod open;
mod readers;
mod registry;
mod time_travel;
mod writer;

use std::path::PathBuf;

use model::DatabaseId;
use product::House;
use store::{Database as Meta, StoreError};
use tasks::{Clock, Tasks};

pub(crate) use database::OpenDatabase;
use open::OpenDatabases;
pub use registry::MIGRATIONS;
pub(crate) use registry::NewDatabase;
pub(crate) use time_travel::State;

use crate::{
    D1Error,
    model::Bookmark,
    sql::{Done, Work},
};

/// All of D1's data.
#[derive(Debug)]
pub(crate) struct Store {
    meta: Meta,
    folder: PathBuf,
    open: OpenDatabases,
    clock: Clock,
    tasks: Tasks,
}

impl Store {
    pub(crate) fn open(house: &House) -> Result<Self, StoreError> {
        let folder = house.data.join("d1");
        store::create_folder(&folder)?;
        let open = OpenDatabases::new(folder.clone(), house.clock.clone());
        Ok(Self {
            meta: house.meta.clone(),
            folder,
            open,
            clock: house.clock.clone(),
            tasks: house.tasks.clone(),
        })
    }

    /// Runs a request's statements as one transaction; what it changed is on disk when this returns. Also says which state
    /// of the database the answer saw.
    pub(crate) async fn query(&self, id: DatabaseId, work: Work) -> Result<(Done, Bookmark), D1Error> {
        let database = self.open.get(id, || self.find(id)).await?;
        let (done, commit) = database.query(work).await?;
        Ok((done, Bookmark { commit: commit.0, database: id }))
    }

    /// Closes those that nobody has used for a while.
    pub(crate) async fn close_idle(&self) {
        self.open.close_idle().await;
    }

    /// Closes all files.
    pub(crate) async fn close(&self) {
        self.open.close_all().await;
    }

    fn find(&self, id: DatabaseId) -> Result<(), D1Error> {
        match self.database_get(id)? {
            Some(_) => Ok(()),
            None => Err(D1Error::DatabaseMissing(id.to_string())),
        }
    }
}
