//! The fixed-size blocks that a history's files are made of: a record's head, and the seal that ends a batch of records. Each
//! carries a checksum that also covers where it lies, so that none is taken for another.

/// What a file begins with; the last byte is the format's version.
pub(super) const FILE_START: &[u8; 16] = b"skerry d1 hist\n\x01";

/// Bytes of a head or a seal.
pub(super) const BLOCK_BYTES: usize = 64;

/// The payload is an LZ4 block.
pub(super) const LZ4: u32 = 1;

const HEAD_MAGIC: &[u8; 4] = b"rec1";
const SEAL_MAGIC: &[u8; 4] = b"seal";

/// What stands before a record's payload.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    /// Bytes of the payload as it lies in the file.
    pub(super) payload_bytes: u32,
    /// Bytes of the payload uncompressed.
    pub(super) raw_bytes: u32,
    /// CRC-32 of the payload as it lies in the file.
    pub(super) payload_sum: u32,
    pub(super) flags: u32,
    /// The commit that the first frame belongs to.
    pub(super) first: u64,
    /// Commits that end in it.
    pub(super) commits: u32,
    pub(super) frames: u32,
    pub(super) page_bytes: u32,
    /// Moments of the first and the last commit that end in it.
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
}

/// What stands behind a batch of records: they are whole, and this is where the log was read up to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seal {
    pub(super) page_bytes: u32,
    /// The last commit so far; 0 before the first.
    pub(super) last: u64,
    pub(super) last_ms: u64,
    /// The database's size in pages after it.
    pub(super) size: u32,
    /// Where its batch begins; a file's opening seal ends no batch and names its own place.
    pub(super) batch: u64,
    /// The log's salts, frames and checksums there.
    pub(super) log: super::log::Position,
}

/// What a block turned out to be.
pub(super) enum Block {
    Record(Head),
    Seal(Seal),
}

impl Head {
    /// Its bytes at `offset` in a file.
    pub(super) fn encode(&self, offset: u64) -> [u8; BLOCK_BYTES] {
        let mut writer = Writer::new(HEAD_MAGIC);
        for word in [self.payload_bytes, self.raw_bytes, self.payload_sum, self.flags] {
            writer.word(word);
        }
        writer.long(self.first);
        for word in [self.commits, self.frames, self.page_bytes] {
            writer.word(word);
        }
        writer.long(self.first_ms);
        writer.long(self.last_ms);
        writer.finish(offset)
    }

    fn decode(reader: &mut Reader<'_>) -> Self {
        Self {
            payload_bytes: reader.word(),
            raw_bytes: reader.word(),
            payload_sum: reader.word(),
            flags: reader.word(),
            first: reader.long(),
            commits: reader.word(),
            frames: reader.word(),
            page_bytes: reader.word(),
            first_ms: reader.long(),
            last_ms: reader.long(),
        }
    }

    /// The commit that follows those that end in it.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.commits))
    }
}

impl Seal {
    /// Its bytes at `offset` in a file.
    pub(super) fn encode(&self, offset: u64) -> [u8; BLOCK_BYTES] {
        let mut writer = Writer::new(SEAL_MAGIC);
        writer.word(self.page_bytes);
        writer.long(self.last);
        writer.long(self.last_ms);
        writer.long(self.batch);
        let super::log::Position { salts, frames, sums } = self.log;
        for word in [self.size, frames, salts[0], salts[1], sums[0], sums[1]] {
            writer.word(word);
        }
        writer.finish(offset)
    }

    fn decode(reader: &mut Reader<'_>) -> Self {
        Self {
            page_bytes: reader.word(),
            last: reader.long(),
            last_ms: reader.long(),
            batch: reader.long(),
            size: reader.word(),
            log: super::log::Position {
                frames: reader.word(),
                salts: [reader.word(), reader.word()],
                sums: [reader.word(), reader.word()],
            },
        }
    }
}

/// Reads the block that lies at `offset`; `None` if it is none, or damaged.
pub(super) fn decode(bytes: &[u8; BLOCK_BYTES], offset: u64) -> Option<Block> {
    let mut reader = Reader { bytes, at: 4 };
    let block = match bytes.first_chunk::<4>()? {
        HEAD_MAGIC => Block::Record(Head::decode(&mut reader)),
        SEAL_MAGIC => Block::Seal(Seal::decode(&mut reader)),
        _ => return None,
    };
    let sum = bytes.last_chunk::<4>()?;
    (sum_of(bytes, offset).to_le_bytes() == *sum).then_some(block)
}

fn sum_of(bytes: &[u8; BLOCK_BYTES], offset: u64) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..BLOCK_BYTES - 4]);
    sum.update(&offset.to_le_bytes());
    sum.finalize()
}

/// Little-endian numbers one after another.
struct Writer {
    bytes: [u8; BLOCK_BYTES],
    at: usize,
}

impl Writer {
    fn new(magic: &[u8; 4]) -> Self {
        let mut writer = Self { bytes: [0; BLOCK_BYTES], at: 0 };
        writer.put(magic);
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_le_bytes());
    }

    fn long(&mut self, long: u64) {
        self.put(&long.to_le_bytes());
    }

    fn finish(mut self, offset: u64) -> [u8; BLOCK_BYTES] {
        let sum = sum_of(&self.bytes, offset);
        self.at = BLOCK_BYTES - 4;
        self.word(sum);
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8; BLOCK_BYTES],
    at: usize,
}

impl Reader<'_> {
    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let taken = self.bytes[self.at..].first_chunk().expect("a block has room for all of its fields");
        self.at += BYTES;
        *taken
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
