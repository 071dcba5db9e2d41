//! Taking in a body: hashed and written block by block off the async threads while the next block arrives. What is small
//! stays in memory and goes into its row.

use std::{fs::File, io::Write, path::PathBuf};

use axum::body::Body;
use bytes::Bytes;
use crc32fast::Hasher as Crc;
use futures_util::StreamExt;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use store::StoreError;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    files::{BLOCK_BYTES, BlobId, Files, Unkept, sync},
    seal::{Nonce, Seal},
};
use crate::{
    R2Error,
    model::{Checksums, CustomerKey, OBJECT_BYTES_MAX},
};

/// Largest body that lies in its row: its put then waits for one sync instead of three.
pub(crate) const SMALL_BYTES_MAX: u64 = 16 * 1024;

/// What is known of a body before it arrives.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Its length, if the caller announced it.
    pub(crate) length: Option<u64>,
    /// Checksums that it must have.
    pub(crate) expected: Expected,
    /// Encrypts it.
    pub(crate) customer_key: Option<CustomerKey>,
}

/// Checksums as the caller gave them, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) md5: Option<Vec<u8>>,
    pub(crate) sha1: Option<Vec<u8>>,
    pub(crate) sha256: Option<Vec<u8>>,
    pub(crate) sha384: Option<Vec<u8>>,
    pub(crate) sha512: Option<Vec<u8>>,
}

/// A body that is safe, but that no object has yet; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct NewBody {
    pub(super) blob: NewBlob,
    pub(super) md5: [u8; 16],
    pub(super) checksums: Checksums,
    pub(super) ssec_key_md5: Option<[u8; 16]>,
}

impl NewBody {
    /// Its length.
    pub(crate) fn size(&self) -> u64 {
        self.blob.size
    }

    /// Its MD5 in hex: the etag that it will have.
    pub(crate) fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

#[derive(Debug)]
pub(super) struct NewBlob {
    pub(super) id: BlobId,
    pub(super) size: u64,
    pub(super) nonce: Option<Nonce>,
    pub(super) content: NewContent,
}

#[derive(Debug)]
pub(super) enum NewContent {
    Small { crc: u32, bytes: Vec<u8> },
    File(Unkept),
}

/// Reads a body to its end.
pub(super) async fn receive(files: &Files, body: Body, incoming: Incoming) -> Result<NewBody, R2Error> {
    let Incoming { length, expected, customer_key } = incoming;
    if length.is_some_and(|length| OBJECT_BYTES_MAX < length) {
        return Err(R2Error::ObjectTooLarge);
    }
    let seal = customer_key.as_ref().map(Seal::draw);
    let nonce = seal.as_ref().map(Seal::nonce);
    let id = files.next_id();
    let mut writing = Writing::Idle(Box::new(Writer::new(files.clone(), id, seal, &expected)));
    let arrived = arrive(body, length, &mut writing).await;
    // A refused body too waits for the block that is being written: its answer then says that nothing stays.
    let (written, (block, size)) = (writing.idle().await, arrived?);
    let mut writer = written?;
    let (content, digests) = if size <= SMALL_BYTES_MAX {
        (writer.in_memory(&block), writer.digests)
    } else {
        let finish = move || writer.finish(&block);
        spawn_blocking(finish).await.map_err(|_stopping| StoreError::Closed)??
    };
    let (md5, checksums) = digests.check(&expected)?;
    let ssec_key_md5 = customer_key.as_ref().map(CustomerKey::md5);
    Ok(NewBody { blob: NewBlob { id, size, nonce, content }, md5, checksums, ssec_key_md5 })
}

/// Writes a body's blocks while it arrives; returns what is left after the last full one, and the body's length.
async fn arrive(body: Body, length: Option<u64>, writing: &mut Writing) -> Result<(Block, u64), R2Error> {
    let mut block = Block::default();
    let mut size = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let mut chunk = chunk.map_err(|_broken| R2Error::BodyIncomplete)?;
        size += chunk.len() as u64;
        if OBJECT_BYTES_MAX < size {
            return Err(R2Error::ObjectTooLarge);
        }
        while let Some(full) = block.push(&mut chunk) {
            writing.write(full).await?;
        }
    }
    if length.is_some_and(|length| length != size) {
        return Err(R2Error::BodyIncomplete);
    }
    Ok((block, size))
}

/// Up to a block of bytes as they arrived.
#[derive(Debug, Default)]
struct Block {
    chunks: Vec<Bytes>,
    bytes: u64,
}

impl Block {
    /// Takes from `chunk`; returns a block once it is full. `None` once all was taken.
    fn push(&mut self, chunk: &mut Bytes) -> Option<Self> {
        let room = usize::try_from(BLOCK_BYTES - self.bytes).unwrap_or(usize::MAX);
        let taken = chunk.split_to(room.min(chunk.len()));
        self.bytes += taken.len() as u64;
        if !taken.is_empty() {
            self.chunks.push(taken);
        }
        (self.bytes == BLOCK_BYTES).then(|| std::mem::take(self))
    }
}

/// The writer, here or at work on a block.
enum Writing {
    Idle(Box<Writer>),
    Busy(JoinHandle<Result<Writer, StoreError>>),
    /// A block could not be written.
    Failed,
}

impl Writing {
    async fn idle(self) -> Result<Writer, StoreError> {
        match self {
            Self::Idle(writer) => Ok(*writer),
            Self::Busy(work) => work.await.map_err(|_stopping| StoreError::Closed)?,
            Self::Failed => Err(StoreError::Closed),
        }
    }

    async fn write(&mut self, block: Block) -> Result<(), StoreError> {
        let mut writer = std::mem::replace(self, Self::Failed).idle().await?;
        *self = Self::Busy(spawn_blocking(move || writer.write(&block).map(|()| writer)));
        Ok(())
    }
}

struct Writer {
    files: Files,
    id: BlobId,
    seal: Option<Seal>,
    digests: Digests,
    open: Option<Open>,
    /// The checksums of the blocks so far: 20 KiB for the largest object.
    crcs: Vec<u8>,
    blocks: u64,
}

struct Open {
    file: File,
    path: PathBuf,
    unkept: Unkept,
}

impl Open {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|error| StoreError::file("write", &self.path, &error))
    }
}

impl Writer {
    fn new(files: Files, id: BlobId, seal: Option<Seal>, expected: &Expected) -> Self {
        let digests = Digests::new(expected);
        Self { files, id, seal, digests, open: None, crcs: Vec::new(), blocks: 0 }
    }

    fn open(&mut self) -> Result<Open, StoreError> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let (file, unkept) = self.files.create(self.id)?;
        Ok(Open { file, path: self.files.path(self.id), unkept })
    }

    fn write(&mut self, block: &Block) -> Result<(), StoreError> {
        let mut open = self.open()?;
        let mut crc = Crc::new();
        for chunk in &block.chunks {
            self.digests.update(chunk);
        }
        if let Some(seal) = &self.seal {
            let sealed = seal.seal(self.blocks, &block.chunks.concat());
            crc.update(&sealed);
            open.write(&sealed)?;
        } else {
            for chunk in &block.chunks {
                crc.update(chunk);
                open.write(chunk)?;
            }
        }
        self.crcs.extend(crc.finalize().to_le_bytes());
        self.blocks += 1;
        self.open = Some(open);
        Ok(())
    }

    fn finish(mut self, last: &Block) -> Result<(NewContent, Digests), StoreError> {
        if last.bytes != 0 {
            self.write(last)?;
        }
        let mut open = self.open()?;
        open.write(&self.crcs)?;
        sync(&open.file, &open.path)?;
        Ok((NewContent::File(open.unkept), self.digests))
    }

    fn in_memory(&mut self, only: &Block) -> NewContent {
        let plain = only.chunks.concat();
        self.digests.update(&plain);
        let bytes = self.seal.as_ref().map_or_else(|| plain.clone(), |seal| seal.seal(0, &plain));
        NewContent::Small { crc: crc32fast::hash(&bytes), bytes }
    }
}

struct Digests {
    md5: Md5,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl Digests {
    fn new(expected: &Expected) -> Self {
        Self {
            md5: Md5::new(),
            sha1: expected.sha1.as_ref().map(|_| Sha1::new()),
            sha256: expected.sha256.as_ref().map(|_| Sha256::new()),
            sha384: expected.sha384.as_ref().map(|_| Sha384::new()),
            sha512: expected.sha512.as_ref().map(|_| Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        fn update(digest: Option<&mut impl Digest>, bytes: &[u8]) {
            if let Some(digest) = digest {
                digest.update(bytes);
            }
        }
        self.md5.update(bytes);
        update(self.sha1.as_mut(), bytes);
        update(self.sha256.as_mut(), bytes);
        update(self.sha384.as_mut(), bytes);
        update(self.sha512.as_mut(), bytes);
    }

    fn check(self, expected: &Expected) -> Result<([u8; 16], Checksums), R2Error> {
        let md5: [u8; 16] = self.md5.finalize().into();
        compare("MD5", expected.md5.as_deref(), Some(&md5))?;
        let sha1 = self.sha1.map(Digest::finalize);
        let sha256 = self.sha256.map(Digest::finalize);
        let sha384 = self.sha384.map(Digest::finalize);
        let sha512 = self.sha512.map(Digest::finalize);
        let checksums = Checksums {
            sha1: compare("SHA-1", expected.sha1.as_deref(), sha1.as_deref())?,
            sha256: compare("SHA-256", expected.sha256.as_deref(), sha256.as_deref())?,
            sha384: compare("SHA-384", expected.sha384.as_deref(), sha384.as_deref())?,
            sha512: compare("SHA-512", expected.sha512.as_deref(), sha512.as_deref())?,
        };
        Ok((md5, checksums))
    }
}

/// Compares a checksum with the one found, and returns it in hex if one was given.
fn compare(
    algorithm: &'static str,
    given: Option<&[u8]>,
    found: Option<&[u8]>,
) -> Result<Option<String>, R2Error> {
    let Some((given, found)) = given.zip(found) else { return Ok(None) };
    if given != found {
        let (given, actual) = (hex::encode(given), hex::encode(found));
        return Err(R2Error::DigestWrong { algorithm, given, actual });
    }
    Ok(Some(hex::encode(found)))
}
