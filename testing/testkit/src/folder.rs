//! A data folder that outlives the servers started in it, and is kept when the test fails.

use std::path::Path;

use tempfile::TempDir;

/// A temporary folder; removed at the end of a test that succeeded.
#[derive(Debug)]
pub struct DataFolder {
    folder: Option<TempDir>,
}

impl DataFolder {
    /// A new, empty folder. Its path is short: Unix sockets below it have at most 107 bytes.
    ///
    /// # Panics
    /// If none can be created.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "creating a folder is no default")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sk-").tempdir().expect("create a temporary folder");
        Self { folder: Some(folder) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until it is dropped").path()
    }
}

impl Drop for DataFolder {
    #[expect(clippy::print_stderr, reason = "a failed test says where its files are")]
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the failed test's files are kept in {}", folder.keep().display());
        }
    }
}
