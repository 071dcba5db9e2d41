//! A namespace's backup while its objects run, and its restore while they do not.
//!
//! A restore is unpacked and checked beside the objects first. Then their process is stopped, and the folder is put beside the
//! one it replaces under a name that [`settle`](crate::settle) knows: from that rename on the restored objects are the ones
//! that there are, also after a crash.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::model::ObjectNamespaceId;
use ::store::{create_folder, fault, sync_folder};
use axum::body::Body;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Namespace,
    archive::{Head, Manifest, Writer, unpack},
    error::ObjectsError,
    homes::Homes,
    model::{ObjectFile, PIECE_TIMEOUT},
    pipe::{self, Input, Output},
    settle,
    store::{self, ALARMS_FILE},
};

/// Where copies and what is unpacked lie, in the folder of the homes; emptied when it is opened.
const SCRATCH: &str = "transfers";

/// Removes what a crash has left of earlier transfers.
pub(crate) fn sweep(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root.join(SCRATCH)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A folder of our own, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(root: &Path) -> io::Result<Self> {
        let folder = root.join(SCRATCH).join(ObjectNamespaceId::random().as_str());
        create_folder(&folder).map_err(io::Error::other)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It was moved away, or is swept at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A backup as the body of an answer. An error on the way cuts it off.
pub(crate) async fn backup(homes: &Arc<Homes>, id: &str) -> Result<Body, ObjectsError> {
    let namespace = homes.namespace(id).await?;
    let permit = permit(homes).await?;
    let (mut output, body) = pipe::body();
    let (root, folder) = (homes.folder().to_owned(), homes.namespace_folder(&namespace.home, &namespace.id));
    let now_s = homes.clock.unix_ms() / 1_000;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(error) = write(&root, &folder, &namespace, now_s, &mut output) {
            tracing::warn!(namespace = %namespace.id, %error, "A backup of Durable Objects was cut off");
            output.abort(error);
        }
    });
    Ok(Body::from_stream(body))
}

fn write(
    root: &Path,
    folder: &Path,
    namespace: &Namespace,
    now_s: u64,
    output: &mut Output,
) -> Result<(), ObjectsError> {
    let unreadable = |error: io::Error| ObjectsError::Unreadable(error.to_string());
    let scratch = Scratch::new(root).map_err(unreadable)?;
    let mut archive = Writer::begin(output, &Head::of(namespace), now_s).map_err(unreadable)?;
    let alarms_copy = scratch.0.join(ALARMS_FILE);
    let alarms = store::copy_alarms(folder, &alarms_copy)?;
    let files = match fs::read_dir(folder) {
        Ok(files) => Some(files),
        // No process has run it yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(error)),
    };
    for entry in files.into_iter().flatten() {
        let entry = entry.map_err(unreadable)?;
        let Some(file) = entry.file_name().to_str().and_then(ObjectFile::parse) else { continue };
        let copy = scratch.0.join(file.name());
        if file.is_database() {
            let Some(object) = store::copy(&entry.path(), &copy)? else { continue };
            if let Some(alarms) = alarms.as_ref().filter(|_| file.is_main()) {
                store::align_alarm(alarms, file.id(), &object)?;
            }
        } else {
            fs::copy(entry.path(), &copy).map_err(unreadable)?;
        }
        let content = File::open(&copy).map_err(unreadable)?;
        archive.add(&file, content).map_err(unreadable)?;
        fs::remove_file(&copy).map_err(unreadable)?;
    }
    let alarms = alarms.is_some().then(|| File::open(&alarms_copy)).transpose().map_err(unreadable)?;
    archive.finish(alarms).map_err(unreadable)
}

/// Replaces all objects of a namespace by those of an archive.
pub(crate) async fn restore(homes: &Arc<Homes>, id: &str, body: Body) -> Result<Manifest, ObjectsError> {
    let namespace = homes.namespace(id).await?;
    let permit = permit(homes).await?;
    let (input, drive) = pipe::input(body, PIECE_TIMEOUT);
    let (root, of) = (homes.folder().to_owned(), namespace.id.clone());
    let unpacked = tokio::task::spawn_blocking(move || receive(&root, &of, input));
    let (unpacked, ()) = tokio::join!(unpacked, drive);
    let interrupted = |error: String| ObjectsError::Unavailable(error);
    let (scratch, manifest) = unpacked.map_err(|error| interrupted(error.to_string()))??;
    // From here on it goes to its end, also if nobody waits for it any more.
    let (all, objects) = (Arc::clone(homes), manifest.objects);
    let replaced = homes.tasks.to_the_end("durable-objects-restore", async move {
        let _permit = permit;
        let replaced = replace(&all, &namespace, scratch).await;
        if replaced.is_ok() {
            let Namespace { script, class, .. } = &namespace;
            tracing::info!(%script, class, objects, "Restored a namespace of Durable Objects");
        }
        replaced
    });
    let replaced = replaced.await.ok_or_else(|| interrupted("the restore was interrupted".to_owned()))?;
    replaced.map_err(|error| ObjectsError::Unavailable(format!("replace the objects: {error}")))?;
    Ok(manifest)
}

/// Unpacks an archive; on return it is on the disk.
fn receive(
    root: &Path,
    namespace: &ObjectNamespaceId,
    input: Input,
) -> Result<(Scratch, Manifest), ObjectsError> {
    let unreadable = |error: io::Error| ObjectsError::Unreadable(error.to_string());
    let scratch = Scratch::new(root).map_err(unreadable)?;
    let manifest = unpack(input, namespace, &scratch.0)?;
    // Once for all files, which may be many.
    let folder = File::open(&scratch.0).map_err(unreadable)?;
    rustix::fs::syncfs(&folder).map_err(|error| unreadable(error.into()))?;
    Ok((scratch, manifest))
}

async fn replace(homes: &Arc<Homes>, namespace: &Namespace, unpacked: Scratch) -> io::Result<()> {
    let held = homes.hold(&namespace.home, &namespace.id).await?;
    let folder = homes.namespace_folder(&namespace.home, &namespace.id);
    tokio::task::spawn_blocking(move || {
        let home = folder.parent().unwrap_or(&folder).to_owned();
        fs::rename(&unpacked.0, settle::restored_beside(&folder))?;
        fault::point("durable-objects: restore staged");
        sync_folder(&home).map_err(io::Error::other)?;
        settle::finish_restores(&home)
    })
    .await
    .map_err(io::Error::other)??;
    drop(held);
    Ok(())
}

async fn permit(homes: &Arc<Homes>) -> Result<OwnedSemaphorePermit, ObjectsError> {
    let permit = Arc::clone(&homes.transfers).acquire_owned().await;
    permit.map_err(|error| ObjectsError::Unavailable(error.to_string()))
}
