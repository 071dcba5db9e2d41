//! Reading a body: block by block, each checked before a byte of it is sent, the next one read while one is on its way.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    vec,
};

use axum::body::Body;
use bytes::Bytes;
use crc32fast::Hasher as Crc;
use futures_util::stream::try_unfold;
use model::BucketName;
use rustix::io::ReadWriteFlags;
use store::{Failure, StoreError};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    buffers::Buffers,
    files::{BLOCK_BYTES, BlobId, CRC_BYTES, Files, Pin, block_count, stored_bytes},
    seal::{Nonce, Seal, TAG_BYTES},
};
use crate::{
    R2Error,
    model::{CustomerKey, Key, Span},
};

/// What is read and summed at a time, so that the sum is taken from the processor's cache.
const PIECE_BYTES: usize = 128 * 1024;

/// A body as its row describes it.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) id: BlobId,
    pub(super) size: u64,
    pub(super) nonce: Option<Nonce>,
    pub(super) content: Content,
}

/// Where a body's bytes are.
#[derive(Debug)]
pub(super) enum Content {
    Small {
        crc: u32,
        bytes: Vec<u8>,
    },
    /// Open: replacing or deleting the object does not disturb its reader.
    Open(File),
    /// To be opened when it is reached; a [`Pin`] keeps it.
    Pinned,
}

/// Whose bytes they are, for errors.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) bucket: BucketName,
    pub(super) key: Key,
}

/// A body ready to be read; what it names stays readable for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenBody {
    files: Files,
    of: Of,
    /// The pieces that hold the bytes asked for, in order, and which of theirs.
    pieces: vec::IntoIter<(Blob, Span)>,
    current: Option<Current>,
    key: Option<CustomerKey>,
    length: u64,
    _pin: Option<Pin>,
}

#[derive(Debug)]
struct Current {
    blob: Blob,
    seal: Option<Seal>,
    file: Option<(File, PathBuf)>,
    at: u64,
    end: u64,
}

impl OpenBody {
    /// Cuts `span` out of consecutive pieces.
    pub(super) fn new(
        files: Files,
        of: Of,
        blobs: Vec<Blob>,
        span: Span,
        key: Option<CustomerKey>,
        pin: Option<Pin>,
    ) -> Self {
        let mut begins = 0;
        let mut pieces = Vec::new();
        for blob in blobs {
            let ends = begins + blob.size;
            if begins < span.end && span.start < ends {
                let within =
                    Span { start: span.start.saturating_sub(begins), end: span.end.min(ends) - begins };
                pieces.push((blob, within));
            }
            begins = ends;
        }
        let length = span.length();
        Self { files, of, pieces: pieces.into_iter(), current: None, key, length, _pin: pin }
    }

    /// Cuts `span` out of a body that would yield all bytes.
    pub(crate) fn narrowed(self, span: Span) -> Self {
        let blobs = self.pieces.map(|(blob, _)| blob).collect();
        Self::new(self.files, self.of, blobs, span, self.key, self._pin)
    }

    /// How many bytes it will yield.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// A body that yields the bytes. The first block is read before this returns: what is damaged there is an error, and
    /// not a body that breaks off.
    pub(crate) async fn into_body(self) -> Result<Body, R2Error> {
        // What is in memory already takes less time to copy and check than to hand to another thread.
        let mut reading = self;
        let (first, reading) = match reading.next(Source::Memory) {
            Ok(Next::Later) => step(reading).await.map_err(|_stopping| StoreError::Closed)?,
            here => (here, reading),
        };
        let of = &reading.of;
        let first =
            first.map_err(|error| R2Error::from(error).of_object(of.bucket.as_str(), of.key.as_str()))?;
        let Next::Block(first) = first else { return Ok(Body::empty()) };
        if reading.is_done() {
            return Ok(Body::from(first));
        }
        let state = (Some(first), step(reading));
        Ok(Body::from_stream(try_unfold(state, |(first, next)| async move {
            if let Some(first) = first {
                return Ok(Some((first, (None, next))));
            }
            let (block, reading) = next.await.map_err(io::Error::other)?;
            let block = block.map_err(|error| {
                let Of { bucket, key } = &reading.of;
                let (bucket, key) = (bucket.as_str(), key.as_str());
                tracing::error!(bucket, key, %error, "An object could not be read to its end");
                io::Error::other(error)
            })?;
            let Next::Block(block) = block else { return Ok(None) };
            Ok::<_, io::Error>(Some((block, (None, step(reading)))))
        })))
    }

    /// Reads all that is left, here and now, and checks it; says how many bytes it was.
    pub(super) fn check(mut self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        while let Next::Block(block) = self.next(Source::Disk)? {
            bytes += block.len() as u64;
        }
        Ok(bytes)
    }

    fn is_done(&self) -> bool {
        self.pieces.len() == 0 && self.current.as_ref().is_none_or(|current| current.at == current.end)
    }

    fn next(&mut self, source: Source) -> Result<Next, StoreError> {
        loop {
            if let Some(current) = self.current.as_mut().filter(|current| current.at < current.end) {
                return current.next(source, self.files.buffers());
            }
            let Some((blob, span)) = self.pieces.next() else { return Ok(Next::End) };
            self.current = Some(Current::open(&self.files, blob, span, self.key.as_ref())?);
        }
    }
}

/// What may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Nothing: the kernel's cache has it, or it is read later.
    Memory,
    Disk,
}

enum Next {
    Block(Bytes),
    End,
    /// Only the disk has it.
    Later,
}

type Step = (Result<Next, StoreError>, OpenBody);

fn step(mut reading: OpenBody) -> JoinHandle<Step> {
    spawn_blocking(move || {
        let block = reading.next(Source::Disk);
        (block, reading)
    })
}

impl Current {
    fn open(
        files: &Files,
        mut blob: Blob,
        span: Span,
        key: Option<&CustomerKey>,
    ) -> Result<Self, StoreError> {
        let path = files.path(blob.id);
        let failed = |error: io::Error| StoreError::file("read", &path, &error);
        let file = match std::mem::replace(&mut blob.content, Content::Pinned) {
            Content::Open(file) => Some(file),
            Content::Pinned => Some(File::open(&path).map_err(failed)?),
            Content::Small { crc, bytes } => {
                if crc32fast::hash(&bytes) != crc {
                    let cause = format!("small body {:016x} has a wrong checksum", blob.id);
                    return Err(corrupt(files.database(), cause));
                }
                blob.content = Content::Small { crc, bytes };
                None
            }
        };
        if let Some(file) = &file {
            let expected = stored_bytes(blob.size, blob.nonce.is_some()) + block_count(blob.size) * CRC_BYTES;
            let found = file.metadata().map_err(failed)?.len();
            if found != expected {
                let cause = format!("it has {found} bytes instead of {expected}");
                return Err(corrupt(path, cause));
            }
        }
        let seal = blob.nonce.zip(key).map(|(nonce, key)| Seal::new(key, nonce));
        Ok(Self { blob, seal, file: file.map(|file| (file, path)), at: span.start, end: span.end })
    }

    /// The rest of the block in which we are.
    fn next(&mut self, source: Source, buffers: &Buffers) -> Result<Next, StoreError> {
        let number = self.at / BLOCK_BYTES;
        let begins = number * BLOCK_BYTES;
        let stored = match (&self.file, &mut self.blob.content) {
            (Some((file, path)), _) => match read_block(source, buffers, file, path, &self.blob, number)? {
                Some(block) => block,
                None => return Ok(Next::Later),
            },
            (None, Content::Small { bytes, .. }) => Bytes::from(std::mem::take(bytes)),
            (None, Content::Open(_) | Content::Pinned) => Bytes::new(),
        };
        let plain = match &self.seal {
            None => stored,
            Some(seal) => seal.open(number, &stored).map(Bytes::from).ok_or_else(|| {
                let path = self.file.as_ref().map(|(_, path)| path.clone()).unwrap_or_default();
                corrupt(path, "it cannot be decrypted".to_owned())
            })?,
        };
        let end = self.end.min(begins + BLOCK_BYTES);
        let within = |at: u64| usize::try_from(at - begins).unwrap_or(usize::MAX).min(plain.len());
        let (from, to) = (within(self.at), within(end));
        self.at = end;
        Ok(Next::Block(plain.slice(from..to)))
    }
}

/// Reads one block and checks it. `None` if it is to come from memory and is not there.
fn read_block(
    source: Source,
    buffers: &Buffers,
    file: &File,
    path: &Path,
    blob: &Blob,
    number: u64,
) -> Result<Option<Bytes>, StoreError> {
    let is_sealed = blob.nonce.is_some();
    let stride = if is_sealed { BLOCK_BYTES + TAG_BYTES } else { BLOCK_BYTES };
    let data_bytes = stored_bytes(blob.size, is_sealed);
    let offset = number * stride;
    let length = stride.min(data_bytes - offset);
    // At most a block.
    let length = usize::try_from(length).unwrap_or(0);
    let (mut found, mut expected) = (Crc::new(), [0; 4]);
    let mut read = || {
        let bytes = buffers.filled(length, |into| {
            for (piece, at) in into.chunks_mut(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES)) {
                read_at(source, file, piece, at)?;
                found.update(piece);
            }
            Ok::<_, io::Error>(())
        })?;
        read_at(source, file, &mut expected, data_bytes + number * CRC_BYTES)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(_) if source == Source::Memory => return Ok(None),
        Err(error) => return Err(StoreError::file("read", path, &error)),
    };
    if found.finalize() != u32::from_le_bytes(expected) {
        return Err(corrupt(path.to_owned(), format!("block {number} has a wrong checksum")));
    }
    Ok(Some(bytes))
}

/// Fills `into`; from memory only if the kernel has all of it there.
fn read_at(source: Source, file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    if source == Source::Disk {
        return file.read_exact_at(into, offset);
    }
    let wanted = into.len();
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT)?;
    if read == wanted { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

fn corrupt(file: PathBuf, cause: String) -> StoreError {
    StoreError::Corrupt(Failure { tried: "read", file, cause })
}
