//! Where the programs are that tests run: the server's binary, both wranglers, Node and the engine. The only file here that
//! reads the environment.

use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
};

use crate::skip;

/// Names the server's binary, where it is not beside the test.
pub const SERVER_VARIABLE: &str = "SKERRY_BIN";

/// The installed programs of `testing/clients`.
#[derive(Debug, Clone)]
pub struct Clients {
    folder: PathBuf,
    modules: PathBuf,
}

impl Clients {
    /// The programs in `SKERRY_CLIENTS`, else those in `target/clients`.
    ///
    /// # Panics
    /// If they are not installed: a test never skips what it cannot run.
    #[must_use]
    pub fn find() -> Self {
        let folder = variable("SKERRY_CLIENTS").unwrap_or_else(|| repository().join("target/clients"));
        let modules = folder.join("node_modules");
        assert!(modules.is_dir(), "no programs in {}: run `cargo xtask clients`", folder.display());
        Self { folder, modules }
    }

    /// The pinned engine.
    #[must_use]
    pub fn workerd(&self) -> PathBuf {
        let platform = if ARCH == "aarch64" { "workerd-linux-arm64" } else { "workerd-linux-64" };
        variable("SKERRY_WORKERD")
            .unwrap_or_else(|| self.modules.join("@cloudflare").join(platform).join("bin/workerd"))
    }

    /// Node 22.
    #[must_use]
    pub fn node(&self) -> PathBuf {
        let package = if ARCH == "aarch64" { "node22-arm64" } else { "node22" };
        self.modules.join(package).join("bin/node")
    }

    /// Python with the pinned Python clients; `None` where Python could make no environment for them, which is said.
    #[must_use]
    pub fn python(&self) -> Option<PathBuf> {
        let python = self.folder.join("python/bin/python");
        if python.is_file() {
            return Some(python);
        }
        skip("Python clients: no virtual environment on this machine (Debian: apt-get install python3-venv)");
        None
    }

    /// An installed package's folder.
    #[must_use]
    pub fn package(&self, name: &str) -> PathBuf {
        self.modules.join(name)
    }

    /// The folder of all packages.
    #[must_use]
    pub fn modules(&self) -> &Path {
        &self.modules
    }
}

/// The top folder of the repository.
pub(crate) fn repository() -> PathBuf {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    kit.ancestors().nth(2).expect("testkit lies two folders deep").to_owned()
}

/// The server's binary: `SKERRY_BIN`, else `skerry` beside the running program or one folder above (tests run in `deps`).
pub(crate) fn server_binary() -> PathBuf {
    if let Some(path) = variable(SERVER_VARIABLE) {
        return path;
    }
    let program = std::env::current_exe().expect("a running program knows its own path");
    let candidates = program.ancestors().skip(1).take(2).map(|folder| folder.join("skerry"));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no `skerry` near {}: run `cargo build -p cli`", program.display()))
}

/// The search path that programs are started with.
pub(crate) fn search_path() -> std::ffi::OsString {
    variable("PATH").unwrap_or_default().into_os_string()
}

#[expect(clippy::disallowed_methods, reason = "the harness is told by `cargo xtask` where the programs are")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
