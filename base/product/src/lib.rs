//! What a product is: the value it hands to the server, what it is given when it opens, and how it asks for a Worker to
//! be run. It knows no product by name.

use std::{io, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use axum::{
    body::Body,
    http::{Request, Response},
};
use futures_util::future::BoxFuture;
use model::{AccountId, Caller, Objects, VersionId, WorkerVersion};
use store::{Database, StoreError, Vault};
use tasks::{Clock, Tasks};

/// What every product is given when it opens.
#[derive(Debug, Clone)]
pub struct House {
    /// The data folder; a product keeps its files in the folder below it that bears its name.
    pub data: PathBuf,
    /// `meta.sqlite`: each product owns its own tables in it.
    pub meta: Database,
    /// Encrypts what must not lie readable on disk.
    pub vault: Vault,
    /// The one account of this installation.
    pub account: AccountId,
    /// The time.
    pub clock: Clock,
    /// Background work.
    pub tasks: Tasks,
}

/// What a product hands to the server: its doors. Background work is spawned on [`House::tasks`] while opening.
pub struct Product {
    /// Its name, as the folder is called.
    pub name: &'static str,
    /// Routes below `/client/v4`, with full paths (`/accounts/{account_id}/…`); the control plane authenticates first.
    pub rest: axum::Router,
    /// What a Worker's binding of this product speaks to; `None` for products without one.
    pub binding: Option<BindingDoor>,
    /// What GraphQL queries may select from.
    pub datasets: Vec<Dataset>,
}

impl std::fmt::Debug for Product {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Product").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Figures that a GraphQL query selects from, under the name that Cloudflare's GraphQL Analytics API gives them.
pub struct Dataset {
    /// For example `r2StorageAdaptiveGroups`.
    pub name: &'static str,
    /// Finds the rows. What they can be filtered by lies in their `dimensions`; the query's `filter` is given so that rows
    /// that it would drop need not be made, and may be passed over.
    pub rows: Rows,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dataset").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Finds a dataset's rows, given a query's `filter`.
pub type Rows = Arc<
    dyn Fn(&serde_json::Value) -> BoxFuture<'static, Result<Vec<serde_json::Value>, StoreError>>
        + Send
        + Sync,
>;

/// Answers one request that a binding made. `resource` is what the binding names (a namespace id, a bucket …): it was
/// looked up in the calling version's own bindings and can be trusted.
pub type BindingDoor =
    Arc<dyn Fn(Arc<str>, Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Who takes the connections that a Worker's process opens on one of its sockets.
pub trait ConnectionDoor: Send + Sync {
    /// Serves one connection until either side ends it. Dropping the future closes the connection.
    fn serve(&self, caller: Arc<Caller>, connection: tokio::net::UnixStream) -> BoxFuture<'static, ()>;
}

/// Who can run Workers: the engine, as products see it.
pub trait Runtime: Send + Sync {
    /// Starts the version to see whether it can run, and keeps the process for its first request. Binds nothing:
    /// until something routes to it, no request reaches it.
    fn trial<'a>(&'a self, version: &'a WorkerVersion) -> BoxFuture<'a, Result<Trial, TrialError>>;

    /// Drains and stops the processes of versions that no longer answer requests, in the background. A version that is
    /// asked for again (a preview host, a rollback) simply starts anew.
    fn retire(&self, versions: Vec<VersionId>);
}

/// Where the engine finds the code of a version that has to start.
pub trait VersionSource: Send + Sync {
    /// The version whole, or `None` if it was deleted.
    fn load(&self, version: VersionId) -> BoxFuture<'_, Result<Option<WorkerVersion>, StoreError>>;
}

/// A version that can run.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// How long its start took, in milliseconds.
    pub startup_ms: u64,
    /// Those of its Durable Object classes that its code does not export.
    pub missing_classes: Vec<String>,
}

/// Where Durable Objects are kept, as the engine sees it.
pub trait ObjectHomes: Send + Sync {
    /// Waits until no process has the home of these objects, and takes it for one. `None`: some of them are not kept
    /// there any more, so what is known of the version is old.
    fn claim<'a>(&'a self, objects: &'a Objects) -> BoxFuture<'a, io::Result<Option<Claim>>>;
}

/// The right to run the objects of one home.
pub struct Claim {
    /// The folder that the process is given, as an absolute path.
    pub folder: PathBuf,
    /// The home's lock. It is the process's own: given to it when it starts and kept nowhere else, the lock lasts exactly as
    /// long as the process, also when the server is killed before it.
    pub lock: OwnedFd,
    /// To be dropped when the process has ended.
    pub stay: Box<dyn Stay>,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Claim").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A process's stay in a home.
pub trait Stay: Send + Sync {
    /// When the earliest alarm that is pending is due, in milliseconds since 1970. Reads files.
    fn next_alarm_ms(&self) -> Option<u64>;
}

/// Why a version cannot run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrialError {
    /// The version itself is at fault; the text is meant for its author (Cloudflare's code 10021).
    #[error("{0}")]
    Rejected(String),
    /// We are at fault: no engine, no memory, no file descriptors. The text says what to do.
    #[error("{0}")]
    Unavailable(String),
}
