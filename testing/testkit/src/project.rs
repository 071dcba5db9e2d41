//! A project folder that wrangler can be run in: an example of ours, or files that a test writes.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{DataFolder, clients::repository};

/// A project in a temporary folder.
#[derive(Debug)]
pub struct Project {
    folder: DataFolder,
}

impl Project {
    /// An empty project.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "creating a folder is no default")]
    pub fn new() -> Self {
        Self { folder: DataFolder::new() }
    }

    /// A copy of `examples/<name>`, with its packages if it has some: `cargo xtask test` installs them.
    ///
    /// # Panics
    /// If there is no such example, or its packages are not installed.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let project = Self::new();
        let source = repository().join("examples").join(name);
        copy(&source, project.path());
        if !source.join("package-lock.json").is_file() {
            return project;
        }
        let modules = repository().join("target/examples").join(name).join("node_modules");
        assert!(modules.is_dir(), "no packages in {}: run `cargo xtask clients`", modules.display());
        symlink(&modules, project.path().join("node_modules")).expect("link the example's packages");
        project
    }

    /// Adds or replaces a file.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// Adds or replaces a file of a project in use.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or_else(|| self.path()))
            .expect("create a folder of the project");
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap_or_else(|error| panic!("create {}: {error}", target.display()));
    let entries = fs::read_dir(source).unwrap_or_else(|error| panic!("list {}: {error}", source.display()));
    for entry in entries {
        let entry = entry.expect("list an example");
        let (name, path) = (entry.file_name(), entry.path());
        let is_foreign = ["node_modules", ".wrangler"].iter().any(|foreign| name == *foreign);
        if path.is_dir() && !is_foreign {
            copy(&path, &target.join(name));
        } else if path.is_file() {
            fs::copy(&path, target.join(name))
                .unwrap_or_else(|error| panic!("copy {}: {error}", path.display()));
        }
    }
}
