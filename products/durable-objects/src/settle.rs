//! Brings folders to where the register says: a namespace that has passed to another Worker moves to that one's home, and
//! what was deleted is removed. A crash between the two leaves a folder in its old home, where the next look finds it.
//!
//! A namespace leaves a home only while nobody else is in that home, so its old process has ended; and a process starts with
//! a namespace only once no other home has a folder of it. A process's folders are made before the register is asked whose
//! they are: so whoever is told that a namespace passed to them also sees the folder of whoever was told otherwise.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ::model::{ObjectNamespaceId, ScriptTag};
use ::store::{create_folder, fault, sync_folder};

use crate::Namespace;

/// Ends the name of a folder that was restored.
const RESTORED: &str = "restored";

/// Settles the home of which the caller has the place and the lock, given what the register says now; returns the homes
/// that got something from it.
pub(crate) fn settle(root: &Path, home: &ScriptTag, known: &[Namespace]) -> io::Result<Vec<ScriptTag>> {
    let mut receivers = Vec::new();
    finish_restores(&root.join(home.as_str()))?;
    for (id, folder) in namespaces_in(&root.join(home.as_str()))? {
        match known.iter().find(|namespace| namespace.id == id) {
            Some(namespace) if namespace.home == *home => {}
            Some(namespace) => {
                move_to(&folder, &root.join(namespace.home.as_str()), &id)?;
                receivers.push(namespace.home.clone());
            }
            // An id is never used again.
            None => fs::remove_dir_all(folder)?,
        }
    }
    Ok(receivers)
}

/// The name under which a folder takes the place of another: as soon as it is there, the other counts no more.
pub(crate) fn restored_beside(namespace: &Path) -> PathBuf {
    namespace.with_extension(RESTORED)
}

/// Puts restored namespaces into the place of those that they replace.
pub(crate) fn finish_restores(home: &Path) -> io::Result<()> {
    for folder in entries(home)? {
        if folder.extension().is_none_or(|extension| extension != RESTORED) {
            continue;
        }
        let replaced = folder.with_extension("");
        match fs::remove_dir_all(&replaced) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => fs::rename(&folder, &replaced)?,
        }
        fault::point("durable-objects: restored");
        sync_folder(home).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Whether the home has folders that belong elsewhere or nowhere.
pub(crate) fn is_settled(root: &Path, home: &ScriptTag, known: &[Namespace]) -> io::Result<bool> {
    let is_here =
        |id: &ObjectNamespaceId| known.iter().any(|namespace| namespace.id == *id && namespace.home == *home);
    Ok(namespaces_in(&root.join(home.as_str()))?.iter().all(|(id, _)| is_here(id)))
}

/// Another home that has a folder of this namespace.
pub(crate) fn elsewhere(
    root: &Path,
    home: &ScriptTag,
    namespace: &ObjectNamespaceId,
) -> io::Result<Option<ScriptTag>> {
    let others = homes_in(root)?.into_iter().filter(|other| other != home);
    let mut having = others.filter(|other| root.join(other.as_str()).join(namespace.as_str()).is_dir());
    Ok(having.next())
}

/// All homes that have a folder.
pub(crate) fn homes_in(root: &Path) -> io::Result<Vec<ScriptTag>> {
    let named = |folder: PathBuf| folder.file_name()?.to_str()?.parse().ok();
    Ok(entries(root)?.into_iter().filter_map(named).collect())
}

/// Makes the folders of a home's namespaces.
pub(crate) fn make_folders<'a>(
    home: &Path,
    namespaces: impl Iterator<Item = &'a ObjectNamespaceId>,
) -> io::Result<()> {
    create_folder(home).map_err(io::Error::other)?;
    for namespace in namespaces {
        create_folder(&home.join(namespace.as_str())).map_err(io::Error::other)?;
    }
    Ok(())
}

fn namespaces_in(home: &Path) -> io::Result<Vec<(ObjectNamespaceId, PathBuf)>> {
    let named = |folder: PathBuf| Some((folder.file_name()?.to_str()?.parse().ok()?, folder));
    Ok(entries(home)?.into_iter().filter_map(named).collect())
}

/// What is in a folder, which may be missing.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn move_to(folder: &Path, home: &Path, namespace: &ObjectNamespaceId) -> io::Result<()> {
    // A process that was about to run it here, and came too late, has left an empty one. It must not take the place of one
    // that a process has open.
    if fs::remove_dir(folder).is_ok() {
        return Ok(());
    }
    create_folder(home).map_err(io::Error::other)?;
    let target = home.join(namespace.as_str());
    // Whoever waits for it there has made the folder; it is replaced as long as it is empty.
    fs::rename(folder, &target).map_err(|error| {
        let (from, to) = (folder.display(), target.display());
        io::Error::new(error.kind(), format!("move `{from}` to `{to}`: {error}"))
    })?;
    fault::point("durable-objects: namespace moved");
    sync_folder(home).map_err(io::Error::other)?;
    sync_folder(folder.parent().unwrap_or(home)).map_err(io::Error::other)
}
