//! `cargo xtask check`: what a machine can hold against a change before a person reads it.

use anyhow::bail;

use crate::{dependencies, floors, graph, step, tidy};

/// Runs all checks, the quick ones first.
pub(crate) fn run() -> anyhow::Result<()> {
    step::quietly("format", &mut step::cargo(&["fmt", "--all", "--check"]))?;
    rule("tidiness", || tidy::problems(&step::root()))?;
    rule("floors", || Ok(floors::problems(&graph::load()?)))?;
    rule("dependency policy", || Ok(dependencies::problems(&graph::load()?)))?;
    step::quietly(
        "clippy",
        &mut step::cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    )?;
    step::quietly(
        "documentation",
        step::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn rule(title: &str, find: impl FnOnce() -> anyhow::Result<Vec<String>>) -> anyhow::Result<()> {
    step::timed(title, || match find()?.as_slice() {
        [] => Ok(()),
        problems => bail!("{title}:\n  {}", problems.join("\n  ")),
    })
}
