//! The programs that tests run, installed once into `target/clients` from `testing/clients`: no install script, and
//! nothing when the lock files have not changed.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::step;

/// Where the installed programs are.
pub(crate) struct Clients {
    folder: PathBuf,
}

impl Clients {
    /// The folder with `node_modules`; tests get it as `SKERRY_CLIENTS`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pinned engine; tests get it as `SKERRY_WORKERD`.
    pub(crate) fn workerd(&self) -> PathBuf {
        let platform = if ARCH == "aarch64" { "workerd-linux-arm64" } else { "workerd-linux-64" };
        self.modules().join("@cloudflare").join(platform).join("bin/workerd")
    }

    /// Node 22, which the newer wrangler needs.
    pub(crate) fn node(&self) -> PathBuf {
        let package = if ARCH == "aarch64" { "node22-arm64" } else { "node22" };
        self.modules().join(package).join("bin/node")
    }

    /// The newer wrangler, to be run by [`Clients::node`].
    pub(crate) fn wrangler(&self) -> PathBuf {
        self.modules().join("wrangler-4-164/bin/wrangler.js")
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }
}

/// Installs what `testing/clients` pins, if that has not been done.
pub(crate) fn install() -> anyhow::Result<Clients> {
    let clients = Clients { folder: step::root().join("target/clients") };
    install_copy("wrangler, Node and the engine", &step::root().join("testing/clients"), clients.folder())?;
    if !clients.workerd().is_file() {
        bail!(
            "npm left no engine at {}\nhint: `npm config get omit` must not contain `optional`",
            clients.workerd().display()
        );
    }
    Ok(clients)
}

/// The same with the Python clients, which only tests need.
pub(crate) fn install_all() -> anyhow::Result<Clients> {
    let clients = install()?;
    install_python(&clients)?;
    Ok(clients)
}

/// Installs the Python clients that `testing/clients` pins into a virtual environment of their own. Where Python cannot make
/// one, their tests say that they were skipped.
fn install_python(clients: &Clients) -> anyhow::Result<()> {
    let requirements = step::root().join("testing/clients/requirements.txt");
    let fingerprint = fingerprint(&requirements)?;
    let environment = clients.folder().join("python");
    let stamp = environment.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint) {
        return Ok(());
    }
    let mut make = step::program("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    if let Err(error) = step::quietly("python3 -m venv", &mut make) {
        step::say(&format!("warning: no Python clients, their tests are skipped: {error:#}"));
        // Half an environment would be taken for a whole one.
        return fs::remove_dir_all(&environment).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error).with_context(|| format!("remove {}", environment.display())),
        });
    }
    let mut pip = step::program(environment.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    step::quietly("pip install: the Python clients", &mut pip)?;
    fs::write(&stamp, fingerprint).with_context(|| format!("write {}", stamp.display()))
}

fn fingerprint(path: &Path) -> anyhow::Result<String> {
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(hex::encode(Sha256::digest(&content)))
}

/// Copies `package.json` and its lock from `source` to `target` and installs there, so that the source tree stays clean.
/// A stamp with the lock's hash, written last, makes the second run free.
pub(crate) fn install_copy(title: &str, source: &Path, target: &Path) -> anyhow::Result<()> {
    let fingerprint = fingerprint(&source.join("package-lock.json"))?;
    let stamp = target.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint) {
        return Ok(());
    }
    fs::create_dir_all(target).with_context(|| format!("create {}", target.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), target.join(name)).with_context(|| format!("copy {name}"))?;
    }
    let mut npm = step::program("npm");
    npm.args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(target);
    step::quietly(&format!("npm ci: {title}"), &mut npm)?;
    fs::write(&stamp, fingerprint).with_context(|| format!("write {}", stamp.display()))
}
