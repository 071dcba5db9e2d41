//! Where the engine's program is found. Only a program named by `SKERRY_WORKERD` may be of another version than the one
//! that this build was tested with.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use workerd_wire::{NPM_PACKAGE_LINUX_ARM64, NPM_PACKAGE_LINUX_X64, WORKERD_VERSION, WORKERD_VERSION_LINE};

/// How every workerd's version line begins.
const VERSION_LINE_START: &str = "workerd ";

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The program that the operator names (`SKERRY_WORKERD`).
    pub named: Option<PathBuf>,
    /// The data folder; the engine is installed below it.
    pub data: PathBuf,
    /// Our own program.
    pub own_program: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<std::ffi::OsString>,
}

/// A program that can be run.
#[derive(Debug, Clone)]
pub struct Found {
    /// The program.
    pub program: PathBuf,
    /// Which place it was found in, for people.
    pub place: &'static str,
    /// What it prints as its version, if it is not the pinned one: fit for a warning.
    pub other_version: Option<String>,
}

/// No program can be run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LocateError {
    /// The named program does not run.
    #[error("SKERRY_WORKERD names `{0}`, which does not run as workerd: {1}")]
    Named(PathBuf, String),
    /// No place holds the pinned version.
    #[error("the engine (workerd {WORKERD_VERSION}) is not installed{0}")]
    Missing(String),
}

/// The folder below the data folder that holds the pinned version.
#[must_use]
pub(crate) fn installed_folder(data: &Path) -> PathBuf {
    data.join("engine").join(WORKERD_VERSION)
}

/// The npm package with the program for this machine.
#[must_use]
pub(crate) fn npm_package() -> &'static str {
    if cfg!(target_arch = "aarch64") { NPM_PACKAGE_LINUX_ARM64 } else { NPM_PACKAGE_LINUX_X64 }
}

/// Finds the program: the named one, the installed one, beside our own program, in a `node_modules` above it, in `PATH`.
pub fn locate(search: &Search) -> Result<Found, LocateError> {
    if let Some(program) = &search.named {
        let version = version(program).map_err(|error| LocateError::Named(program.clone(), error))?;
        let other_version = (version != WORKERD_VERSION_LINE).then_some(version);
        return Ok(Found { program: program.clone(), place: "SKERRY_WORKERD", other_version });
    }
    let mut seen = Vec::new();
    for (place, program) in candidates(search) {
        match version(&program) {
            Ok(version) if version == WORKERD_VERSION_LINE => {
                return Ok(Found { program, place, other_version: None });
            }
            Ok(version) => seen.push(format!("; {} is {version}", program.display())),
            Err(error) => seen.push(format!("; {} does not run: {error}", program.display())),
        }
    }
    Err(LocateError::Missing(seen.concat()))
}

/// Existing files in the order of preference.
fn candidates(search: &Search) -> Vec<(&'static str, PathBuf)> {
    let mut all = vec![("the data folder", installed_folder(&search.data).join("workerd"))];
    if let Some(own) = &search.own_program {
        all.push(("beside skerry", own.with_file_name("workerd")));
        let in_package = Path::new("node_modules").join(npm_package()).join("bin/workerd");
        all.extend(own.ancestors().skip(1).map(|folder| ("node_modules", folder.join(&in_package))));
    }
    let path = search.path.iter().flat_map(std::env::split_paths);
    all.extend(path.map(|folder| ("PATH", folder.join("workerd"))));
    all.retain(|(_, program)| program.is_file());
    all
}

/// The line that `workerd --version` prints.
#[expect(clippy::disallowed_methods, reason = "asks the program for its version before any engine exists")]
fn version(program: &Path) -> Result<String, String> {
    let output =
        Command::new(program).arg("--version").env_clear().output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("`--version` ended with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim();
    // `true` and `node`, too, answer `--version` well.
    if !line.starts_with(VERSION_LINE_START) {
        return Err(format!("`--version` says `{line}`"));
    }
    Ok(line.to_owned())
}
