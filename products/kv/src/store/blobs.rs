//! Large values as files of their own, written once and never changed: temporary file, sync, rename, sync of the folder,
//! and only then a row that names it. A file that no row names is an orphan.

use std::{
    collections::HashSet,
    fs, io,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream::try_unfold};
use sha2::{Digest, Sha256};
use store::{Failure, StoreError, create_folder, sync_folder};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt, AsyncWriteExt},
};
use uuid::Uuid;

use super::memory::{Memory, Taken};
use crate::{
    KvError,
    model::{Key, VALUE_BYTES_MAX},
};

/// Largest value that lies in its row: beyond it, SQLite is slower than a file.
pub(super) const INLINE_BYTES_MAX: usize = 1024 * 1024;

/// Values up to this size are not counted among those that share [`RECEIVING_BYTES_MAX`].
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// Memory of values on their way in. While it is used up, values that are not small go to files, however short.
const RECEIVING_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How much of a value that is too long is still read, so that its sender hears the answer instead of a broken pipe: a
/// Worker has 128 MiB of memory.
const DISCARD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How the name of a file ends that is still being written.
const TEMPORARY: &str = ".tmp";

/// Only the server reads values.
const BLOB_MODE: u32 = 0o600;

/// Bytes read from a file at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The folder of blobs; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    folder: Arc<Path>,
    memory: Memory,
}

/// A blob as its row names it.
#[derive(Debug, Clone)]
pub(super) struct BlobFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

/// A value on its way in.
#[derive(Debug)]
pub(crate) enum NewValue {
    Inline { bytes: Bytes, _memory: Option<Taken> },
    Blob(PendingBlob),
}

impl NewValue {
    /// The value's length.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Inline { bytes, .. } => bytes.len() as u64,
            Self::Blob(pending) => pending.file.bytes,
        }
    }

    /// What the value takes of memory and of the log.
    pub(crate) fn inline_bytes(&self) -> usize {
        match self {
            Self::Inline { bytes, .. } => bytes.len(),
            Self::Blob(_) => 0,
        }
    }
}

/// A file that is safe on disk, but that no row names yet; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct PendingBlob {
    pub(super) file: BlobFile,
    unkept: Unkept,
}

impl PendingBlob {
    /// Leaves the file to the row that names it.
    pub(super) fn keep(mut self) {
        self.unkept.path = None;
    }
}

#[derive(Debug)]
struct Unkept {
    path: Option<PathBuf>,
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays behind is collected later.
            let _ = fs::remove_file(path);
        }
    }
}

impl Blobs {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        create_folder(folder)?;
        Ok(Self { folder: folder.into(), memory: Memory::new(RECEIVING_BYTES_MAX) })
    }

    /// Reads a body to its end: into memory, or, where that does not suffice, into a file.
    pub(super) async fn receive(&self, body: Body, length: Option<u64>) -> Result<NewValue, KvError> {
        let mut value = Receiving::new(self, length);
        let mut bytes: u64 = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_broken| KvError::ValueIncomplete)?;
            bytes += chunk.len() as u64;
            if bytes <= VALUE_BYTES_MAX {
                value.take(&chunk).await?;
            } else {
                value = Receiving::new(self, None);
                if DISCARD_BYTES_MAX < bytes {
                    break;
                }
            }
        }
        if VALUE_BYTES_MAX < bytes {
            return Err(KvError::ValueTooLong { bytes: bytes.max(length.unwrap_or(0)) });
        }
        value.finish().await
    }

    /// Takes in a value that is in memory already, and counted by whoever read it.
    pub(super) async fn receive_whole(&self, bytes: Bytes) -> Result<NewValue, KvError> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(NewValue::Inline { bytes, _memory: None });
        }
        let mut writer = self.create().await?;
        writer.write(&bytes).await?;
        Ok(NewValue::Blob(writer.finish(self).await?))
    }

    async fn create(&self) -> Result<BlobWriter, StoreError> {
        let name = Uuid::new_v4().simple().to_string();
        let path = self.folder.join(format!("{name}{TEMPORARY}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(BLOB_MODE).open(&path).await;
        let file = file.map_err(|error| StoreError::file("make", &path, &error))?;
        let unkept = Unkept { path: Some(path.clone()) };
        Ok(BlobWriter { name, path, file, bytes: 0, sha256: Sha256::new(), unkept })
    }

    pub(super) fn open_file(&self, file: &BlobFile, key: &Key<'_>) -> io::Result<OpenBlob> {
        let path = self.folder.join(&file.name);
        let (open, key) = (fs::File::open(&path)?, key.as_str().to_owned());
        Ok(OpenBlob { open, path, key, bytes: file.bytes, sha256: file.sha256 })
    }

    pub(super) fn failed(&self, tried: &'static str, file: &BlobFile, error: &io::Error) -> StoreError {
        StoreError::file(tried, &self.folder.join(&file.name), error)
    }

    pub(super) fn unlisted(&self, error: &io::Error) -> StoreError {
        StoreError::file("list", &self.folder, error)
    }

    /// Removes files that no row names any more.
    pub(super) async fn remove(&self, names: Vec<String>) {
        let folder = Arc::clone(&self.folder);
        let remove = move || {
            for name in names {
                let path = folder.join(name);
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(file = %path.display(), %error, "A value's old file stays for now");
                }
            }
        };
        // It fails only when the runtime stops; then the next start removes them.
        let _ = tokio::task::spawn_blocking(remove).await;
    }

    /// The names of all files that are whole.
    pub(super) fn names(&self) -> io::Result<HashSet<String>> {
        let mut names = HashSet::new();
        for file in fs::read_dir(&self.folder)? {
            names.extend(file?.file_name().into_string().ok().filter(|name| !name.ends_with(TEMPORARY)));
        }
        Ok(names)
    }

    /// Removes every file but those named. Nothing may be writing.
    pub(super) fn remove_all_but(&self, names: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            if !file.file_name().to_str().is_some_and(|name| names.contains(name)) {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A value of which a part has arrived.
struct Receiving<'a> {
    blobs: &'a Blobs,
    inline: Vec<u8>,
    /// What `inline` may grow to, and what it was given beyond a small value for that.
    inline_max: usize,
    memory: Option<Taken>,
    writer: Option<BlobWriter>,
}

impl<'a> Receiving<'a> {
    fn new(blobs: &'a Blobs, announced: Option<u64>) -> Self {
        let (inline, memory, writer) = (Vec::new(), None, None);
        let mut receiving = Self { blobs, inline, inline_max: SMALL_BYTES_MAX, memory, writer };
        let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(usize::MAX);
        if SMALL_BYTES_MAX < announced && announced <= INLINE_BYTES_MAX {
            receiving.grow();
        }
        receiving.inline.reserve(announced.min(receiving.inline_max));
        receiving
    }

    /// Lets the value be as large as a row takes, if there is memory for it.
    fn grow(&mut self) {
        if self.memory.is_none()
            && let Some(memory) = self.blobs.memory.try_take(INLINE_BYTES_MAX)
        {
            self.memory = Some(memory);
            self.inline_max = INLINE_BYTES_MAX;
        }
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        if let Some(writer) = &mut self.writer {
            return writer.write(chunk).await;
        }
        let bytes = self.inline.len() + chunk.len();
        if self.inline_max < bytes && bytes <= INLINE_BYTES_MAX {
            self.grow();
        }
        if bytes <= self.inline_max {
            self.inline.extend_from_slice(chunk);
            return Ok(());
        }
        let mut writer = self.blobs.create().await?;
        writer.write(&self.inline).await?;
        writer.write(chunk).await?;
        (self.writer, self.inline, self.memory) = (Some(writer), Vec::new(), None);
        Ok(())
    }

    async fn finish(self) -> Result<NewValue, KvError> {
        let Self { blobs, inline, mut memory, writer, .. } = self;
        if let Some(writer) = writer {
            return Ok(NewValue::Blob(writer.finish(blobs).await?));
        }
        if let Some(memory) = &mut memory {
            memory.shrink_to(inline.len());
        }
        Ok(NewValue::Inline { bytes: inline.into(), _memory: memory })
    }
}

struct BlobWriter {
    name: String,
    path: PathBuf,
    file: File,
    bytes: u64,
    sha256: Sha256,
    unkept: Unkept,
}

impl BlobWriter {
    async fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.bytes += chunk.len() as u64;
        self.sha256.update(chunk);
        self.file.write_all(chunk).await.map_err(|error| StoreError::file("write", &self.path, &error))
    }

    async fn finish(mut self, blobs: &Blobs) -> Result<PendingBlob, StoreError> {
        let failed = |error: io::Error| StoreError::file("write", &self.path, &error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        let path = blobs.folder.join(&self.name);
        tokio::fs::rename(&self.path, &path).await.map_err(failed)?;
        self.unkept.path = Some(path);
        let folder = Arc::clone(&blobs.folder);
        let synced = tokio::task::spawn_blocking(move || sync_folder(&folder)).await;
        synced.map_err(|_stopping| StoreError::Closed)??;
        let file = BlobFile { name: self.name, bytes: self.bytes, sha256: self.sha256.finalize().into() };
        Ok(PendingBlob { file, unkept: self.unkept })
    }
}

/// A large value that is being read.
#[derive(Debug)]
pub(crate) struct OpenBlob {
    open: fs::File,
    path: PathBuf,
    /// For the log, should the file turn out damaged.
    key: String,
    bytes: u64,
    sha256: [u8; 32],
}

impl OpenBlob {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the file bit by bit. The last bit is held back until the checksum was found right: nobody receives a
    /// damaged value whole.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        let reading = Reading {
            file: File::from_std(self.open),
            path: self.path,
            key: self.key,
            left: self.bytes,
            sha256: Sha256::new(),
        };
        try_unfold(reading, move |mut reading| async move {
            if reading.left == 0 {
                return Ok(None);
            }
            let next = reading.next(&self.sha256).await;
            if let Err(error) = &next {
                let (key, file) = (&reading.key, reading.path.display());
                tracing::error!(key, %file, %error, "A value is damaged on the disk");
            }
            next.map(|chunk| Some((chunk, reading)))
        })
    }

    /// Reads the whole file, here and now.
    pub(super) fn read_whole(mut self) -> Result<Bytes, StoreError> {
        let mut read = || {
            self.open.rewind()?;
            // At most the largest value, by what was checked when it was written.
            let mut bytes = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
            self.open.by_ref().take(self.bytes).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| StoreError::file("read", &self.path, &error))?;
        if bytes.len() as u64 != self.bytes || Sha256::digest(&bytes)[..] != self.sha256 {
            let cause = "its checksum is wrong".to_owned();
            return Err(StoreError::Corrupt(Failure { tried: "read", file: self.path, cause }));
        }
        Ok(bytes.into())
    }
}

struct Reading {
    file: File,
    path: PathBuf,
    key: String,
    left: u64,
    sha256: Sha256,
}

impl Reading {
    async fn next(&mut self, expected: &[u8; 32]) -> io::Result<Bytes> {
        let wanted = usize::try_from(self.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = BytesMut::with_capacity(wanted);
        if (&mut self.file).take(wanted as u64).read_buf(&mut chunk).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= chunk.len() as u64;
        self.sha256.update(&chunk);
        if self.left == 0 && self.sha256.clone().finalize()[..] != expected[..] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(chunk.freeze())
    }
}
