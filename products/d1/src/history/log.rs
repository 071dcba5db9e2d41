//! SQLite's write-ahead log, read as its documented file format says: which frames are valid, where each commit ends. It
//! opens the log's file alone: closing any descriptor of the database's file would drop the locks that SQLite holds on it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use store::StoreError;

const HEADER_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;

/// The header's first word but for its last bit, which says how checksums read their words.
const MAGIC: u32 = 0x377f_0682;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A place between two frames: all that is needed to go on reading there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Drawn anew whenever the log starts over.
    pub(super) salts: [u32; 2],
    /// Frames before this place.
    pub(super) frames: u32,
    /// The checksum so far.
    pub(super) sums: [u32; 2],
}

/// An open log whose header is whole.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    is_big_endian: bool,
    page_bytes: usize,
    start: Position,
}

/// One page as a commit left it.
pub(super) struct Frame<'a> {
    pub(super) page: u32,
    /// The database's size in pages after the commit that this frame ends; 0 within a commit.
    pub(super) size_after: u32,
    pub(super) image: &'a [u8],
}

/// What a reading of the log found behind a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    /// Whole commits.
    pub(super) commits: u64,
    /// Behind the last of them.
    pub(super) end: Position,
    /// The database's size in pages there.
    pub(super) size: u32,
    /// How many frames the log has behind the commit that was asked for.
    pub(super) asked_end: Option<u32>,
}

impl Survey {
    /// Of a log that is not there.
    pub(super) fn none() -> Self {
        Self { commits: 0, end: Position::default(), size: 0, asked_end: None }
    }
}

impl Log {
    /// Opens the log; `None` if it is absent, empty, or being started over just now.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let failed = |error: io::Error| StoreError::file("read the log", path, &error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut header = [0; HEADER_BYTES];
        if read_up_to(&file, &mut header, 0).map_err(failed)? < HEADER_BYTES {
            return Ok(None);
        }
        let word = |index: usize| word_at(&header, index * 4, true);
        let is_big_endian = word(0) == MAGIC | 1;
        let sums = checksum([0; 2], &header[..24], is_big_endian);
        if word(0) & !1 != MAGIC || sums != [word(6), word(7)] {
            return Ok(None);
        }
        let start = Position { salts: [word(4), word(5)], frames: 0, sums };
        // A page of 65,536 bytes is written as 1.
        let page_bytes = if word(2) == 1 { 1 << 16 } else { usize::try_from(word(2)).unwrap_or(0) };
        if !page_bytes.is_power_of_two() || !(512..=1 << 16).contains(&page_bytes) {
            return Ok(None);
        }
        Ok(Some(Self { path: path.to_owned(), file, is_big_endian, page_bytes, start }))
    }

    /// Bytes of a page.
    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Where to go on after `known`: its beginning, if the log started over since.
    pub(super) fn resume(&self, known: Position) -> Position {
        if known.salts == self.start.salts { known } else { self.start }
    }

    /// Whether it is the log that `known` lies in.
    pub(super) fn holds(&self, known: Position) -> bool {
        known.salts == self.start.salts
    }

    /// Brings what the log holds to disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| StoreError::file("sync the log", &self.path, &error))
    }

    /// Finds the last whole commit behind `from`, checking every frame; also where the `asked`-th of them ends.
    pub(super) fn survey(&self, from: Position, asked: u64) -> Result<Survey, StoreError> {
        let mut survey =
            Survey { commits: 0, end: from, size: 0, asked_end: (asked == 0).then_some(from.frames) };
        let mut frames = Frames::new(self, from);
        let mut sums = from.sums;
        while let Some((head, image)) = frames.next_raw()? {
            sums = checksum(sums, &head[..8], self.is_big_endian);
            sums = checksum(sums, image, self.is_big_endian);
            let word = |index: usize| word_at(head, index * 4, true);
            let is_valid =
                word(0) != 0 && [word(2), word(3)] == self.start.salts && [word(4), word(5)] == sums;
            if !is_valid {
                break;
            }
            if word(1) != 0 {
                survey.commits += 1;
                survey.size = word(1);
                survey.end = Position { salts: self.start.salts, frames: frames.at, sums };
                if survey.commits == asked {
                    survey.asked_end = Some(frames.at);
                }
            }
        }
        Ok(survey)
    }

    /// Reads the frames from `from` up to `end`, which a survey has found valid.
    pub(super) fn frames(&self, from: Position, end: Position) -> Frames<'_> {
        Frames { end: end.frames, ..Frames::new(self, from) }
    }
}

/// The frames of a log, a chunk in memory at a time.
pub(super) struct Frames<'a> {
    log: &'a Log,
    /// Frames before the next one.
    at: u32,
    end: u32,
    chunk: Vec<u8>,
    /// Bytes of the chunk that are filled, and that are used up.
    filled: usize,
    used: usize,
}

type HeadAndPage<'a> = (&'a [u8], &'a [u8]);

impl<'a> Frames<'a> {
    fn new(log: &'a Log, from: Position) -> Self {
        let frame_bytes = FRAME_HEAD_BYTES + log.page_bytes;
        let chunk = vec![0; (CHUNK_BYTES / frame_bytes).max(1) * frame_bytes];
        Self { log, at: from.frames, end: u32::MAX, chunk, filled: 0, used: 0 }
    }

    /// The next frame; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, StoreError> {
        let Some((head, image)) = self.next_raw()? else { return Ok(None) };
        Ok(Some(Frame { page: word_at(head, 0, true), size_after: word_at(head, 4, true), image }))
    }

    /// The next frame's head and page.
    fn next_raw(&mut self) -> Result<Option<HeadAndPage<'_>>, StoreError> {
        let frame_bytes = FRAME_HEAD_BYTES + self.log.page_bytes;
        if self.at == self.end {
            return Ok(None);
        }
        if self.filled - self.used < frame_bytes {
            let offset = HEADER_BYTES as u64 + u64::from(self.at) * frame_bytes as u64;
            self.filled = read_up_to(&self.log.file, &mut self.chunk, offset)
                .map_err(|error| StoreError::file("read the log", &self.log.path, &error))?;
            self.used = 0;
        }
        if self.filled - self.used < frame_bytes {
            return Ok(None);
        }
        let frame = &self.chunk[self.used..self.used + frame_bytes];
        self.used += frame_bytes;
        self.at += 1;
        Ok(Some(frame.split_at(FRAME_HEAD_BYTES)))
    }
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// SQLite's running checksum over pairs of words.
fn checksum([mut first, mut second]: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    for pair in bytes.as_chunks::<8>().0 {
        first = first.wrapping_add(word_at(pair, 0, is_big_endian)).wrapping_add(second);
        second = second.wrapping_add(word_at(pair, 4, is_big_endian)).wrapping_add(first);
    }
    [first, second]
}

fn word_at(bytes: &[u8], at: usize, is_big_endian: bool) -> u32 {
    let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}
