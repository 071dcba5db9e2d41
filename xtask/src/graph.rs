//! What cargo knows of the workspace and its dependencies, for the platform that Skerry runs on.

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

use crate::step;

/// Loads the graph. Other operating systems' crates are left out: they are neither built nor shipped.
pub(crate) fn load() -> anyhow::Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(step::root().join("Cargo.toml"))
        .other_options(vec!["--locked".into(), "--filter-platform".into(), "x86_64-unknown-linux-gnu".into()])
        .exec()
        .context("run `cargo metadata`")
}
