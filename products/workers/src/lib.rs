//! Scripts, versions, deployments, routes, domains, secrets: the register of what should run where.

mod affinity;
mod binding;
mod buckets;
mod classes;
mod error;
mod exports;
mod model;
mod objects;
mod pattern;
mod register;
mod rest;
mod revision;
mod rollback;
mod routes;
mod store;
mod upload;
mod zone_table;
mod zones;

pub use error::WorkersError;
pub use exports::ExportsProblem;
pub use model::SCRIPT_BYTES_MAX;
pub use pattern::{PatternError, Target};
pub use register::{Bindable, Register, Settings, open};
pub use routes::{Route, RouteTable, Routes, Share};
pub use store::{MIGRATIONS, objects::ObjectNamespace};
pub use zone_table::ZoneTable;
