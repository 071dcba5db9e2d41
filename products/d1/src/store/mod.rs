//! Where databases lie: one folder and one SQLite file each, opened when first used and closed when idle; which there are
//! stands in `meta.sqlite`. The only part of the room that knows files.

mod checkpoints;
mod database;
mod gate;
mod open;
mod readers;
mod registry;
mod syncs;
mod time_travel;
mod writer;

use std::path::PathBuf;

use model::DatabaseId;
use product::House;
use store::{Database as Meta, StoreError};
use tasks::{Clock, Tasks};

pub(crate) use database::{OpenDatabase, blocking};
pub(crate) use open::InUse;
use open::OpenDatabases;
pub use registry::MIGRATIONS;
pub(crate) use registry::NewDatabase;
pub(crate) use time_travel::State;
pub(crate) use writer::Imported;

use crate::{
    D1Error,
    history::Limits,
    model::Bookmark,
    sql::{self, Done, Work},
    transfer::Transfers,
    usage::Usage,
};

/// All of D1's data.
#[derive(Debug)]
pub(crate) struct Store {
    meta: Meta,
    folder: PathBuf,
    open: OpenDatabases,
    clock: Clock,
    tasks: Tasks,
    /// Imports and exports.
    pub(crate) transfers: Transfers,
    /// What was asked of the databases.
    pub(crate) usage: Usage,
}

/// What a database holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) tables: u64,
    pub(crate) bytes: u64,
}

impl Store {
    pub(crate) fn open(house: &House, limits: Limits) -> Result<Self, StoreError> {
        let folder = house.data.join("d1");
        store::create_folder(&folder)?;
        let (clock, tasks) = (house.clock.clone(), house.tasks.clone());
        let open = OpenDatabases::new(folder.clone(), limits, clock.clone());
        // No database is named so.
        let transfers = Transfers::open(folder.join("transfers"), clock.clone(), tasks.stop_token())?;
        let usage = Usage::new(clock.clone());
        Ok(Self { meta: house.meta.clone(), folder, open, clock, tasks, transfers, usage })
    }

    /// Runs a request's statements as one transaction; what it changed is on disk when this returns. Also says which state
    /// of the database the answer saw.
    pub(crate) async fn query(&self, id: DatabaseId, work: Work) -> Result<(Done, Bookmark), D1Error> {
        let database = self.database(id).await?;
        let (done, commit) = database.query(work).await?;
        self.usage.count(id, &done.ran);
        Ok((done, Bookmark { commit: commit.0, database: id }))
    }

    /// The database, open as long as this is held.
    pub(crate) async fn database(&self, id: DatabaseId) -> Result<InUse, D1Error> {
        self.open.get(id, || self.find(id)).await
    }

    /// Closes those that nobody has used for a while.
    pub(crate) async fn close_idle(&self) {
        self.open.close_idle().await;
    }

    /// Closes all files.
    pub(crate) async fn close(&self) {
        self.open.close_all().await;
    }

    /// How large a database is, and how many tables it has.
    pub(crate) async fn size(&self, id: DatabaseId) -> Result<Size, D1Error> {
        OpenDatabase::read_alone(self.database(id).await?, |connection, guard| {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
                       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'";
            let tables = guard.ours(|| connection.query_row(sql, [], |row| row.get(0)))?;
            Ok(Size { tables, bytes: guard.ours(|| sql::database_bytes(connection))? })
        })
        .await
    }

    /// How large a database is, without opening it.
    pub(crate) fn bytes_of(&self, id: DatabaseId) -> u64 {
        let in_use = self.usage.bytes(id);
        // What is not checkpointed yet is missing there; then it was written lately, and is known above.
        let on_disk =
            || std::fs::metadata(self.folder_of(id).join(database::FILE)).map_or(0, |file| file.len());
        in_use.unwrap_or_else(on_disk)
    }

    pub(crate) fn history_bytes(&self) -> Vec<(String, u64)> {
        self.open.history_bytes()
    }

    /// Databases whose files are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.count()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Where a database's files are.
    fn folder_of(&self, id: DatabaseId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn find(&self, id: DatabaseId) -> Result<(), D1Error> {
        match self.database_get(id)? {
            Some(_) => Ok(()),
            None => Err(D1Error::DatabaseMissing(id.to_string())),
        }
    }
}
