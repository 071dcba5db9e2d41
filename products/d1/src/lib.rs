//! SQL databases: workerd's D1 protocol and the v4 routes over one SQLite file for each database. The room's README says
//! what it promises and where it differs from Cloudflare.
#![doc = include_str!("../README.md")]

#[cfg_attr(not(test), expect(dead_code, reason = "the store opens it"))]
mod history;
