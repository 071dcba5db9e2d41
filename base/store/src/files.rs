//! Small files replaced whole: a reader, or a power failure, sees the old content or the new, never a part.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{StoreError, fault};

/// Writes `bytes` to `path` with the given permissions (for example `0o600`); on return they are on disk.
///
/// Blocks on the disk: for start-up and small files.
pub fn atomic_write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let temporary = temporary_beside(path);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The process's umask took from the mode; give it back.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fault::point("file written");
        fs::rename(&temporary, path)
    };
    let written = write().map_err(|error| StoreError::file("write", path, &error));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    fault::point("file renamed");
    sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// Makes a folder and those above it, if they are not there; on return each is on disk, and ours alone to enter.
pub fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() || folder.as_os_str().is_empty() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or_else(|| Path::new("."));
    create_folder(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if !folder.is_dir() => return Err(StoreError::file("make the folder", folder, &error)),
        // Somebody else may just have made it.
        Ok(()) | Err(_) => {}
    }
    sync_folder(parent)
}

/// Brings a folder's entries to disk: needed after a file was created, renamed or removed in it.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(|error| StoreError::file("sync the folder", folder, &error))
}

fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}
