//! Installs the pinned engine below the data folder. npm carries it: the platform packages hold the program itself, so no
//! script of theirs needs to run.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use workerd_wire::WORKERD_VERSION;

use crate::locate::{installed_folder, npm_package};

/// The engine could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// npm is missing.
    #[error("npm could not be run ({0}); it comes with Node.js")]
    NpmMissing(io::Error),
    /// npm failed.
    #[error("npm could not install {package}@{WORKERD_VERSION}: {output}")]
    Npm {
        /// The package.
        package: &'static str,
        /// What npm said.
        output: String,
    },
    /// A file operation failed.
    #[error("{action} `{path}`: {cause}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}

/// Fetches the pinned version through npm into `DIR/engine/<version>/workerd` and returns the program's path.
#[expect(clippy::disallowed_methods, reason = "npm runs once, from the command line, not inside the server")]
pub fn install(data: &Path) -> Result<PathBuf, InstallError> {
    let folder = installed_folder(data);
    let parent = data.join("engine");
    std::fs::create_dir_all(&parent).map_err(failed("create", &parent))?;
    let workplace = tempfile::tempdir_in(&parent).map_err(failed("create a folder in", &parent))?;
    let package = npm_package();
    let output = Command::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--prefix",
        ])
        .arg(workplace.path())
        .arg(format!("{package}@{WORKERD_VERSION}"))
        .output()
        .map_err(InstallError::NpmMissing)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(InstallError::Npm { package, output: text });
    }
    let unpacked = workplace.path().join("node_modules").join(package).join("bin");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", &folder)(error));
        }
        Ok(()) | Err(_) => {}
    }
    std::fs::rename(&unpacked, &folder).map_err(failed("move the program to", &folder))?;
    Ok(folder.join("workerd"))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |cause| InstallError::File { action, path, cause }
}
