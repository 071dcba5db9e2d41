//! One record: a run of a log's frames, each page once whole and then as patches of itself, compressed and checksummed. In
//! which file it lies, and what its commits are for, is not known here.

use std::collections::{HashMap, hash_map::Entry};

use super::{
    block::{Head, LZ4},
    patch::{self, put_number, take, take_count, take_number},
};

/// Bytes of page images, or of what they became, at which a record ends: what writing or reading one holds in memory is a
/// few times this.
const RECORD_BYTES: usize = 4 << 20;

/// What a payload may have before and after compression: a record ends with the page, or the commit, that fills it.
pub(super) const PAYLOAD_BYTES_MAX: u32 = 2 * (4 << 20);

/// The end of a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    /// The database's size in pages after it.
    pub(super) size: u32,
    /// Milliseconds since 1970.
    pub(super) moment_ms: u64,
}

/// Gathers frames into records.
pub(super) struct Builder {
    page_bytes: usize,
    head: Head,
    moments: Vec<u8>,
    frames: Vec<u8>,
    images: Images,
}

impl Builder {
    /// Begins with the frames of commit `first`.
    pub(super) fn new(page_bytes: usize, first: u64) -> Self {
        let images = Images::new(page_bytes);
        let head = empty_head(page_bytes, first);
        Self { page_bytes, head, moments: Vec::new(), frames: Vec::new(), images }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.frames == 0
    }

    /// Whether it is time to finish the record.
    pub(super) fn is_full(&self) -> bool {
        RECORD_BYTES <= self.images.bytes.len() || RECORD_BYTES <= self.frames.len() + self.moments.len()
    }

    /// Appends a page, and the end of its commit if it is the commit's last.
    pub(super) fn push(&mut self, page: u32, image: &[u8], commit: Option<Commit>) {
        self.head.frames += 1;
        put_number(u64::from(page), &mut self.frames);
        put_number(commit.map_or(0, |commit| u64::from(commit.size)), &mut self.frames);
        self.images.put(page, image, &mut self.frames);
        if let Some(Commit { moment_ms, .. }) = commit {
            if self.head.commits == 0 {
                (self.head.first_ms, self.head.last_ms) = (moment_ms, moment_ms);
            }
            put_number(moment_ms.saturating_sub(self.head.last_ms), &mut self.moments);
            self.head.commits += 1;
            self.head.last_ms = self.head.last_ms.max(moment_ms);
        }
    }

    /// Ends the record and begins the next: its head, whose checksum is still open, and its payload.
    pub(super) fn finish(&mut self) -> (Head, Vec<u8>) {
        let next = self.head.first + u64::from(self.head.commits);
        let mut head = std::mem::replace(&mut self.head, empty_head(self.page_bytes, next));
        let mut raw = std::mem::take(&mut self.moments);
        raw.append(&mut self.frames);
        self.images.clear();

        head.raw_bytes = length(&raw);
        let compressed = lz4_flex::block::compress(&raw);
        let payload = if compressed.len() < raw.len() {
            head.flags = LZ4;
            compressed
        } else {
            raw
        };
        head.payload_bytes = length(&payload);
        head.payload_sum = crc32fast::hash(&payload);
        (head, payload)
    }
}

fn empty_head(page_bytes: usize, first: u64) -> Head {
    let page_bytes = u32::try_from(page_bytes).expect("SQLite's pages have 64 KiB at most");
    Head { first, page_bytes, ..Head::default() }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a record ends long before 4 GiB")
}

/// The newest image of each page in a record.
pub(super) struct Images {
    page_bytes: usize,
    bytes: Vec<u8>,
    at: HashMap<u32, usize>,
}

impl Images {
    fn new(page_bytes: usize) -> Self {
        Self { page_bytes, bytes: Vec::new(), at: HashMap::new() }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.at.clear();
    }

    /// Appends to `to` what makes `image` of what is held, and holds `image`.
    fn put(&mut self, page: u32, image: &[u8], to: &mut Vec<u8>) {
        match self.at.entry(page) {
            Entry::Vacant(place) => {
                place.insert(self.bytes.len());
                self.bytes.extend_from_slice(image);
                to.extend_from_slice(image);
            }
            Entry::Occupied(place) => {
                let held = &mut self.bytes[*place.get()..*place.get() + self.page_bytes];
                patch::put(held, image, to);
                held.copy_from_slice(image);
            }
        }
    }

    /// Takes from the front what [`Images::put`] appended; `None` if it is damaged.
    fn take(&mut self, page: u32, from: &mut &[u8]) -> Option<()> {
        match self.at.entry(page) {
            Entry::Vacant(place) => {
                let image = take(from, self.page_bytes)?;
                place.insert(self.bytes.len());
                self.bytes.extend_from_slice(image);
                Some(())
            }
            Entry::Occupied(place) => {
                let held = self.bytes.get_mut(*place.get()..*place.get() + self.page_bytes)?;
                patch::apply(from, held)
            }
        }
    }

    /// All pages in the order of their numbers.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut pages: Vec<(u32, usize)> = self.at.iter().map(|(&page, &at)| (page, at)).collect();
        pages.sort_unstable();
        pages.into_iter().map(|(page, at)| (page, &self.bytes[at..at + self.page_bytes]))
    }
}

/// A record's content, opened.
pub(super) struct Content {
    head: Head,
    raw: Vec<u8>,
}

/// What a record says of the state after one of its commits.
pub(super) struct Replay {
    /// The pages that it and the record's commits before it wrote.
    pub(super) images: Images,
    /// The database's size in pages after the last whole commit that was replayed.
    pub(super) size: Option<u32>,
}

impl Content {
    /// Checks and decompresses a payload; `None` if it is damaged.
    pub(super) fn open(head: Head, payload: Vec<u8>) -> Option<Self> {
        if crc32fast::hash(&payload) != head.payload_sum || PAYLOAD_BYTES_MAX < head.raw_bytes {
            return None;
        }
        let raw = if head.flags == LZ4 {
            let raw_bytes = usize::try_from(head.raw_bytes).ok()?;
            lz4_flex::block::decompress(&payload, raw_bytes).ok()?
        } else {
            payload
        };
        Some(Self { head, raw })
    }

    /// When each of its commits was made.
    pub(super) fn moments(&self) -> Option<Vec<u64>> {
        let (mut rest, mut moment_ms) = (&self.raw[..], self.head.first_ms);
        let mut moments = Vec::new();
        for _ in 0..self.head.commits {
            moment_ms = moment_ms.checked_add(take_number(&mut rest)?)?;
            moments.push(moment_ms);
        }
        Some(moments)
    }

    /// Replays the commits up to `last`; `None` if it is damaged.
    pub(super) fn replay(&self, last: u64) -> Option<Replay> {
        let mut rest = &self.raw[..];
        for _ in 0..self.head.commits {
            take_number(&mut rest)?;
        }
        let page_bytes = usize::try_from(self.head.page_bytes).ok()?;
        let mut replay = Replay { images: Images::new(page_bytes), size: None };
        let mut sequence = self.head.first;
        for _ in 0..self.head.frames {
            if last < sequence {
                break;
            }
            let page = u32::try_from(take_count(&mut rest)?).ok()?;
            let size = u32::try_from(take_count(&mut rest)?).ok()?;
            replay.images.take(page, &mut rest)?;
            if size != 0 {
                replay.size = Some(size);
                sequence += 1;
            }
        }
        Some(replay)
    }
}
