//! The folder that holds modules by the SHA-256 of their bytes. A file is never changed once it has its name.

use std::{collections::HashSet, fs, io, path::Path};

use bytes::Bytes;
use model::{Module, ModuleKind};
use sha2::{Digest, Sha256};
use store::{Failure, StoreError, atomic_write, create_folder, fault, sync_folder};

use crate::error::WorkersError;

/// Only the server reads modules; they may hold what their author thought private.
const MODULE_MODE: u32 = 0o600;

/// A module as its row names it.
pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) kind: ModuleKind,
    pub(super) sha256: String,
    pub(super) size_bytes: usize,
}

/// Writes what is not there yet; on return all of it is on disk.
pub(super) fn write_modules(folder: &Path, modules: Vec<Module>) -> Result<Vec<FileRow>, WorkersError> {
    let mut rows = Vec::with_capacity(modules.len());
    for module in modules {
        let sha256 = hex::encode(Sha256::digest(&module.content));
        let path = folder.join(&sha256);
        // Compared, not just looked for: uploading the same bytes mends a file that was damaged.
        if fs::read(&path).ok().is_none_or(|found| found != module.content) {
            atomic_write(&path, &module.content, MODULE_MODE)?;
        }
        let size_bytes = module.content.len();
        rows.push(FileRow { name: module.name, kind: module.kind, sha256, size_bytes });
    }
    // For what was there: another upload may have just renamed it into place and not synced the folder yet.
    sync_folder(folder)?;
    Ok(rows)
}

pub(super) fn read_module(folder: &Path, row: FileRow) -> Result<Module, WorkersError> {
    let path = folder.join(&row.sha256);
    let content = fs::read(&path).map_err(|error| StoreError::file("read", &path, &error))?;
    if content.len() != row.size_bytes || hex::encode(Sha256::digest(&content)) != row.sha256 {
        let cause = "its bytes are not those that were written".to_owned();
        return Err(StoreError::Corrupt(Failure { tried: "read", file: path, cause }).into());
    }
    Ok(Module { name: row.name, kind: row.kind, content: Bytes::from(content) })
}

/// Removes these modules. A crash on the way leaves what the next start sweeps.
pub(super) fn remove_modules(folder: &Path, hashes: &[String]) -> Result<(), WorkersError> {
    for sha256 in hashes {
        let path = folder.join(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("remove", &path, &error).into());
            }
            Ok(()) | Err(_) => fault::point("workers: module removed"),
        }
    }
    Ok(())
}

/// Removes files that no version names: those that a crash left on their way in or out.
pub(super) fn sweep(folder: &Path, named: &HashSet<String>) -> Result<(), WorkersError> {
    create_folder(folder)?;
    let failed = |error: io::Error| StoreError::file("sweep the folder", folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_named = entry.file_name().to_str().is_some_and(|name| named.contains(name));
        if !is_named {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
