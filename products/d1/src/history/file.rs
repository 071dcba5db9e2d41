//! A history's files: their names, reading one, and appending batches to the newest segment. What the batches say is decided
//! elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use store::{Failure, StoreError};

use super::{
    block::{self, BLOCK_BYTES, Block, FILE_START, Head, Seal},
    record::{self, Builder, Content},
};

/// Where the first block of a file lies.
const START: u64 = FILE_START.len() as u64;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What the room keeps is for the server alone.
const FILE_MODE: u32 = 0o600;

/// Bytes searched at once for the last whole seal.
const SEARCH_BYTES: u64 = 1 << 16;

/// The files of a history, each kind by the sequences in their names.
pub(super) struct Listing {
    /// The commit that each base holds, in order.
    pub(super) bases: Vec<u64>,
    /// The first commit of each segment, in order.
    pub(super) segments: Vec<u64>,
}

impl Listing {
    /// Reads the folder.
    pub(super) fn read(folder: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::file("list", folder, &error);
        let mut listing = Self { bases: Vec::new(), segments: Vec::new() };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let (16, Ok(sequence)) = (stem.len(), u64::from_str_radix(stem, 16)) else { continue };
            match kind {
                "base" => listing.bases.push(sequence),
                "seg" => listing.segments.push(sequence),
                _ => {}
            }
        }
        listing.bases.sort_unstable();
        listing.segments.sort_unstable();
        Ok(listing)
    }

    /// The oldest commit whose state can be had; 0 is the empty database.
    pub(super) fn oldest(&self) -> u64 {
        match self.segments.first() {
            None | Some(1) => 0,
            Some(&first) => self.bases.first().copied().unwrap_or(first),
        }
    }
}

/// The segment that begins with commit `first`.
pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016x}.seg"))
}

/// The base that holds the state after commit `last`.
pub(super) fn base_path(folder: &Path, last: u64) -> PathBuf {
    folder.join(format!("{last:016x}.base"))
}

/// A segment or a base, open for reading.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    /// Bytes that are sealed; what lies behind is still being written.
    length: u64,
}

impl Reader {
    /// Opens a file of which `length` bytes are sealed; all of them, if not given.
    pub(super) fn open(path: PathBuf, length: Option<u64>) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::file("open", &path, &error);
        let file = File::open(&path).map_err(failed)?;
        let length = match length {
            Some(length) => length,
            None => file.metadata().map_err(failed)?.len(),
        };
        let reader = Self { path, file, length };
        check_start(&reader.path, &reader.file)?;
        Ok(reader)
    }

    /// The seal that a segment opens with: where the one before it ended.
    pub(super) fn opening(&self) -> Result<Seal, StoreError> {
        self.seal_at(START)
    }

    /// The seal that it ends with.
    pub(super) fn closing(&self) -> Result<Seal, StoreError> {
        self.seal_at(self.length.saturating_sub(BLOCK).max(START))
    }

    fn seal_at(&self, offset: u64) -> Result<Seal, StoreError> {
        match self.block(offset)? {
            Block::Seal(seal) => Ok(seal),
            Block::Record(_) => {
                Err(self.corrupt(format!("a record lies at byte {offset} instead of a seal")))
            }
        }
    }

    /// Where its records lie, in order. Their payloads are not read, but their commits must follow one another.
    pub(super) fn records(&self) -> Result<Vec<(u64, Head)>, StoreError> {
        let (mut offset, mut next, mut records) = (START, None, Vec::new());
        while offset < self.length {
            match self.block(offset)? {
                Block::Record(head) => {
                    if next.is_some_and(|next| next != head.first) {
                        return Err(self.corrupt(format!("commits are missing before byte {offset}")));
                    }
                    next = Some(head.next());
                    records.push((offset, head));
                    offset += BLOCK + u64::from(head.payload_bytes);
                }
                Block::Seal(seal) => {
                    // A base is one commit that no record of it ends.
                    let is_base =
                        records.last().is_some_and(|(_, head)| head.first == seal.last && head.commits == 0);
                    if !is_base && next.is_some_and(|next| next != seal.last + 1) {
                        return Err(self.corrupt(format!("commits are missing before byte {offset}")));
                    }
                    next = Some(seal.last + 1);
                    offset += BLOCK;
                }
            }
        }
        Ok(records)
    }

    /// Reads a record's payload.
    pub(super) fn content(&self, offset: u64, head: Head) -> Result<Content, StoreError> {
        let damaged = || self.corrupt(format!("the record at byte {offset} is damaged"));
        if head.payload_bytes > record::PAYLOAD_BYTES_MAX {
            return Err(damaged());
        }
        let mut payload = vec![0; usize::try_from(head.payload_bytes).map_err(|_too_large| damaged())?];
        self.read(&mut payload, offset + BLOCK)?;
        Content::open(head, payload).ok_or_else(damaged)
    }

    /// The error for content that cannot be what was written.
    pub(super) fn corrupt(&self, cause: String) -> StoreError {
        corrupt(&self.path, cause)
    }

    fn block(&self, offset: u64) -> Result<Block, StoreError> {
        let mut bytes = [0; BLOCK_BYTES];
        self.read(&mut bytes, offset)?;
        block::decode(&bytes, offset)
            .ok_or_else(|| self.corrupt(format!("the block at byte {offset} is damaged")))
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                self.corrupt(format!("it ends within the block at byte {offset}"))
            }
            _ => StoreError::file("read", &self.path, &error),
        })
    }
}

/// A file that batches are appended to: the newest segment, or a base in the making.
pub(super) struct Tail {
    /// The commit in its name.
    sequence: u64,
    path: PathBuf,
    file: File,
    /// Bytes up to the last seal.
    length: u64,
    seal: Seal,
}

impl Tail {
    /// Makes the segment that follows `opening`, the seal of the one before.
    pub(super) fn create_segment(folder: &Path, opening: Seal) -> Result<Self, StoreError> {
        let sequence = opening.last + 1;
        let mut tail = Self::create(segment_path(folder, sequence), sequence)?;
        tail.seal = Seal { batch: START, ..opening };
        tail.write(&tail.seal.encode(START), START)?;
        tail.length += BLOCK;
        Ok(tail)
    }

    /// Makes a file with nothing in it, which will hold the state after commit `sequence`.
    pub(super) fn create_base(path: PathBuf, sequence: u64) -> Result<Self, StoreError> {
        Self::create(path, sequence)
    }

    fn create(path: PathBuf, sequence: u64) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::file("make", &path, &error);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = options.open(&path).map_err(failed)?;
        file.write_all_at(FILE_START, 0).map_err(failed)?;
        Ok(Self { sequence, path, file, length: START, seal: Seal::default() })
    }

    /// Opens a segment for appending and cuts what is not sealed; `None` if nothing in it is.
    pub(super) fn open_segment(folder: &Path, first: u64) -> Result<Option<Self>, StoreError> {
        let path = segment_path(folder, first);
        let failed = |error: io::Error| StoreError::file("open", &path, &error);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < START + BLOCK {
            return Ok(None);
        }
        let found = last_seal(&file, length).map_err(failed)?;
        match (check_start(&path, &file), found) {
            (Err(StoreError::Corrupt(_)), None) => return Ok(None),
            (start, _) => start?,
        }
        let Some((offset, seal)) = found else { return Ok(None) };
        let tail = Self { sequence: first, path, file, length: offset + BLOCK, seal };
        tail.cut()?;
        Ok(Some(tail))
    }

    /// The last seal: what has been archived.
    pub(super) fn seal(&self) -> Seal {
        self.seal
    }

    /// The commit in its name, and how many bytes are sealed.
    pub(super) fn end(&self) -> (u64, u64) {
        (self.sequence, self.length)
    }

    /// Whether the last batch is whole. It may not be after a crash before it was synced.
    pub(super) fn is_last_batch_whole(&self) -> bool {
        let is_whole = || {
            let reader = Reader::open(self.path.clone(), Some(self.length))?;
            let mut offset = self.seal.batch;
            while offset + BLOCK < self.length {
                let Block::Record(head) = reader.block(offset)? else { break };
                reader.content(offset, head)?;
                offset += BLOCK + u64::from(head.payload_bytes);
            }
            Ok::<_, StoreError>(offset + BLOCK == self.length)
        };
        is_whole().unwrap_or(false)
    }

    /// Cuts the last batch off; `None` if it was the only one.
    pub(super) fn without_last_batch(mut self) -> Result<Option<Self>, StoreError> {
        let Some(before) = self.seal.batch.checked_sub(BLOCK).filter(|before| START <= *before) else {
            return Ok(None);
        };
        let reader = Reader::open(self.path.clone(), Some(self.length))?;
        self.seal = reader.seal_at(before)?;
        self.length = before + BLOCK;
        self.cut()?;
        Ok(Some(self))
    }

    /// Begins a batch, over whatever a failed one left.
    pub(super) fn batch(&mut self) -> Result<Batch<'_>, StoreError> {
        self.cut()?;
        Ok(Batch { at: self.length, tail: self })
    }

    /// Ends the file behind the last seal.
    pub(super) fn cut(&self) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::file("cut", &self.path, &error);
        if self.file.metadata().map_err(failed)?.len() > self.length {
            self.file.set_len(self.length).map_err(failed)?;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| StoreError::file("append to", &self.path, &error))
    }
}

/// Records being appended; nothing of them counts before the seal.
pub(super) struct Batch<'a> {
    tail: &'a mut Tail,
    at: u64,
}

impl Batch<'_> {
    /// Appends what the builder holds, if anything.
    pub(super) fn append(&mut self, builder: &mut Builder) -> Result<(), StoreError> {
        if builder.is_empty() {
            return Ok(());
        }
        let (head, payload) = builder.finish();
        self.tail.write(&head.encode(self.at), self.at)?;
        self.tail.write(&payload, self.at + BLOCK)?;
        self.at += BLOCK + u64::from(head.payload_bytes);
        Ok(())
    }

    /// Seals the batch; it is on disk on return.
    pub(super) fn seal(self, seal: Seal) -> Result<(), StoreError> {
        let Self { tail, at } = self;
        let seal = Seal { batch: tail.length, ..seal };
        tail.write(&seal.encode(at), at)?;
        super::step("d1 history: batch written");
        tail.file.sync_data().map_err(|error| StoreError::file("sync", &tail.path, &error))?;
        (tail.length, tail.seal) = (at + BLOCK, seal);
        Ok(())
    }
}

/// The last whole seal: at the file's end, or before what a crash left behind it.
fn last_seal(file: &File, length: u64) -> io::Result<Option<(u64, Seal)>> {
    let decode = |bytes: &[u8], offset: u64| match block::decode(bytes.first_chunk()?, offset) {
        Some(Block::Seal(seal)) => Some((offset, seal)),
        _ => None,
    };
    let mut bytes = vec![0; BLOCK_BYTES];
    file.read_exact_at(&mut bytes, length - BLOCK)?;
    if let Some(found) = decode(&bytes, length - BLOCK) {
        return Ok(Some(found));
    }
    let mut end = length - BLOCK;
    while START < end {
        let start = end.saturating_sub(SEARCH_BYTES).max(START);
        // A seal may begin in this part and end in the next.
        bytes.resize(usize::try_from(end - start + BLOCK).unwrap_or(0), 0);
        file.read_exact_at(&mut bytes, start)?;
        let found = (start..end).rev().zip((0..bytes.len() - BLOCK_BYTES).rev());
        if let Some(found) = found.into_iter().find_map(|(offset, at)| decode(&bytes[at..], offset)) {
            return Ok(Some(found));
        }
        end = start;
    }
    Ok(None)
}

fn check_start(path: &Path, file: &File) -> Result<(), StoreError> {
    let mut start = [0; FILE_START.len()];
    file.read_exact_at(&mut start, 0).map_err(|error| StoreError::file("read", path, &error))?;
    let (format, version) = start.split_at(FILE_START.len() - 1);
    let (known_format, known_version) = FILE_START.split_at(FILE_START.len() - 1);
    if format != known_format {
        return Err(corrupt(path, "it does not begin as a history does".to_owned()));
    }
    if known_version < version {
        let cause = format!("it has version {} of its format", version[0]);
        return Err(StoreError::Newer(Failure { tried: "read", file: path.to_owned(), cause }));
    }
    Ok(())
}

/// The error for content that cannot be what was written.
pub(super) fn corrupt(path: &Path, cause: String) -> StoreError {
    StoreError::Corrupt(Failure { tried: "read", file: path.to_owned(), cause })
}
