//! The files of one shard: written once under a name of their own, synced, and only then named by a row. A file that no
//! row names is an orphan; since names begin with the epoch of their maker, one of an earlier epoch is nobody's to keep.
//!
//! A file holds its blocks, each of a mebibyte but the last, and behind them a CRC-32 of each, little endian.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use store::{StoreError, create_folder, sync_folder};

use super::{buffers::Buffers, seal::TAG_BYTES};

/// What is written, summed, read, checked and sent at once.
pub(super) const BLOCK_BYTES: u64 = 1024 * 1024;

/// Bytes of a block's checksum.
pub(super) const CRC_BYTES: u64 = 4;

/// Only the server reads objects.
const FILE_MODE: u32 = 0o600;

/// Bits of a blob's id below the epoch: a million new blobs a second for 12 days, or 34 years at a thousand.
const SEQUENCE_BITS: u32 = 40;

/// A body's id within its shard.
pub(super) type BlobId = i64;

/// The folder of one shard's files; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    first: BlobId,
    next: AtomicI64,
    doomed: Mutex<Vec<Doomed>>,
    /// Readers of each upload's parts: their files stay while somebody reads on.
    pins: Mutex<HashMap<i64, usize>>,
    buffers: Buffers,
}

/// A file whose row was deleted, or is about to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doomed {
    pub(super) blob: BlobId,
    /// The upload that it was a part of.
    pub(super) upload: Option<i64>,
}

impl Files {
    pub(super) fn open(folder: PathBuf, epoch: i64) -> Result<Self, StoreError> {
        create_folder(&folder)?;
        let first = epoch << SEQUENCE_BITS;
        let inner = Inner {
            folder,
            first,
            next: AtomicI64::new(first),
            doomed: Mutex::default(),
            pins: Mutex::default(),
            buffers: Buffers::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Memory for what is read.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.inner.buffers
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// The shard's database, in which small bodies lie: beside the folder, and called after it.
    pub(super) fn database(&self) -> PathBuf {
        self.inner.folder.with_extension("sqlite")
    }

    /// The first id of the present epoch.
    pub(super) fn epoch_begin(&self) -> BlobId {
        self.inner.first
    }

    /// An id that nobody had.
    pub(super) fn next_id(&self) -> BlobId {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Where a blob lies: one of 256 folders, so that none grows too large.
    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        self.inner.folder.join(format!("{:02x}/{id:016x}", id & 0xff))
    }

    /// Makes a file; dropped before it is kept, it is removed.
    pub(super) fn create(&self, id: BlobId) -> Result<(File, Unkept), StoreError> {
        let path = self.path(id);
        let make = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folder(path.parent().unwrap_or_else(|| self.folder()))?;
                make()
            }
            made => made,
        };
        let file = file.map_err(|error| StoreError::file("make", &path, &error))?;
        Ok((file, Unkept { path: Some(path) }))
    }

    /// Gives a file a second name, in another shard or this one. `None` if the file has gone, or cannot be linked.
    pub(super) fn link(&self, from: &Self, id: BlobId, new: BlobId) -> Result<Option<Unkept>, StoreError> {
        let (old, path) = (from.path(id), self.path(new));
        let folder = path.parent().unwrap_or_else(|| self.folder());
        create_folder(folder)?;
        match fs::hard_link(&old, &path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::TooManyLinks) => {
                return Ok(None);
            }
            Err(error) => return Err(StoreError::file("link", &old, &error)),
        }
        let unkept = Unkept { path: Some(path.clone()) };
        sync_folder(folder)?;
        Ok(Some(unkept))
    }

    /// Notes files to remove. Nothing is removed before [`super::Shard::reap`] found that no row names it.
    pub(super) fn doom(&self, doomed: impl IntoIterator<Item = Doomed>) {
        lock(&self.inner.doomed).extend(doomed);
    }

    /// Takes all that is noted.
    pub(super) fn take_doomed(&self) -> Vec<Doomed> {
        std::mem::take(&mut *lock(&self.inner.doomed))
    }

    /// Keeps the files of an upload's parts until the pin is dropped.
    pub(super) fn pin(&self, upload: i64) -> Pin {
        *lock(&self.inner.pins).entry(upload).or_default() += 1;
        Pin { files: self.clone(), upload }
    }

    /// Whether somebody reads an upload's parts.
    pub(super) fn is_pinned(&self, upload: Option<i64>) -> bool {
        upload.is_some_and(|upload| lock(&self.inner.pins).contains_key(&upload))
    }

    /// Removes a file; one that has gone already is no matter.
    pub(super) fn remove(&self, id: BlobId) {
        let path = self.path(id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "An object's old file stays until a later start");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in the critical sections can leave the value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps parts for a reader.
#[derive(Debug)]
pub(super) struct Pin {
    files: Files,
    upload: i64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.files.inner.pins);
        if let Some(count) = pins.get_mut(&self.upload) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.upload);
            }
        }
    }
}

/// A file that no row names yet; dropped, it is removed.
#[derive(Debug)]
pub(super) struct Unkept {
    path: Option<PathBuf>,
}

impl Unkept {
    /// Leaves the file to the row that names it.
    pub(super) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays behind is collected after the next start.
            let _ = fs::remove_file(path);
        }
    }
}

/// The number of blocks of a blob.
pub(super) fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES)
}

/// How long a blob's blocks are on disk, without the checksums.
pub(super) fn stored_bytes(size: u64, is_sealed: bool) -> u64 {
    if is_sealed { size + block_count(size) * TAG_BYTES } else { size }
}

/// Brings a finished file and its name to disk.
pub(super) fn sync(file: &File, path: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(|error| StoreError::file("write", path, &error))?;
    sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))
}
