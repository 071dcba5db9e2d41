//! Scripts, versions, deployments, routes, domains, secrets: the register of what should run where.

mod routes;

pub use routes::{Route, RouteTable, Routes, Share};
