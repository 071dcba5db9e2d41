//! The suites: which cargo command each is, and what it is given. The tests themselves are in the crates.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::{
    check,
    clients::{self, Clients},
    step,
};

/// Everything CI runs, or one crate's tests.
pub(crate) fn test(krate: Option<&str>) -> anyhow::Result<()> {
    if krate.is_none() {
        check::run()?;
    }
    let clients = clients::install_all()?;
    examples()?;
    build(&["build", "--package", "cli", "--quiet"])?;
    let selection = krate.map_or_else(|| vec!["--workspace"], |name| vec!["--package", name]);
    let arguments = [&["test", "--quiet"], selection.as_slice()].concat();
    step::openly("tests", with_programs(&mut step::cargo(&arguments), &clients))
}

/// The conformance cases alone.
pub(crate) fn conform(filter: Option<&str>, reference_only: bool, show: bool) -> anyhow::Result<()> {
    let clients = clients::install()?;
    if !reference_only {
        build(&["build", "--package", "cli", "--quiet"])?;
    }
    let mut arguments = vec!["test", "--quiet", "--package", "conformance", "--test", "cases", "--"];
    arguments.extend(filter);
    arguments.extend(reference_only.then_some("--reference-only"));
    arguments.extend(show.then_some("--show"));
    step::openly("conformance", with_programs(&mut step::cargo(&arguments), &clients))
}

/// The benchmark, on release builds of everything.
pub(crate) fn bench(quick: bool, filter: Option<&str>) -> anyhow::Result<()> {
    let clients = clients::install()?;
    build(&["build", "--release", "--package", "cli", "--package", "bench", "--quiet"])?;
    let mut bench = step::program(step::root().join("target/release/bench"));
    bench.args(quick.then_some("--quick")).args(filter);
    bench.env("SKERRY_BIN", step::root().join("target/release/skerry"));
    step::openly("bench", with_programs(&mut bench, &clients))
}

/// Installs the packages that the examples import.
pub(crate) fn examples() -> anyhow::Result<()> {
    let folder = step::root().join("examples");
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let source = entry.context("list the examples")?.path();
        if !source.join("package-lock.json").is_file() {
            continue;
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        clients::install_copy(&format!("examples/{name}"), &source, &example(&name))?;
    }
    Ok(())
}

/// Where the packages of an example are installed.
pub(crate) fn example(name: &str) -> PathBuf {
    step::root().join("target/examples").join(name)
}

/// Builds, saying so: from cold this takes minutes.
pub(crate) fn build(arguments: &[&str]) -> anyhow::Result<()> {
    step::quietly("build", &mut step::cargo(arguments))
}

fn with_programs<'a>(command: &'a mut Command, clients: &Clients) -> &'a mut Command {
    command.env("SKERRY_CLIENTS", clients.folder()).env("SKERRY_WORKERD", clients.workerd())
}
