//! The state after a commit, from the newest base before it and the segments between: read from the newest record back, so
//! that each page is written once and no more than one record is in memory.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::PoisonError,
};

use store::StoreError;

use super::{
    History, Sequence,
    file::{Listing, Reader, base_path, corrupt},
    record::Replay,
};

/// Where a database's first page says that it is used with a log, in two bytes; and what says that it is not.
const JOURNAL_MODE_AT: usize = 18;
const JOURNAL_MODE_ROLLBACK: [u8; 2] = [1, 1];

/// How large a state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) page_bytes: u32,
    pub(super) pages: u32,
}

impl Size {
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.page_bytes) * u64::from(self.pages)
    }
}

/// Takes pages by number; each comes once, in no order.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u32, &[u8]) -> Result<(), StoreError>;

impl History {
    /// Writes the state right after a commit into `file`, as a SQLite file that needs no log. It is on disk on return.
    pub(crate) fn materialise(&self, sequence: Sequence, file: &Path) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::file("write", file, &error);
        let mut options = OpenOptions::new();
        let open = options.write(true).create(true).truncate(true).mode(0o600).open(file).map_err(failed)?;
        let size = self.pages_at(sequence.0, &mut |page: u32, image: &[u8]| {
            let offset = u64::from(page - 1) * image.len() as u64;
            open.write_all_at(image, offset).map_err(failed)?;
            if page == 1 {
                open.write_all_at(&JOURNAL_MODE_ROLLBACK, JOURNAL_MODE_AT as u64).map_err(failed)?;
            }
            Ok(())
        })?;
        // Pages that nobody ever wrote, at the end too, are zeros.
        open.set_len(size.bytes()).map_err(failed)?;
        open.sync_all().map_err(failed)
    }

    /// Hands over each page of the state right after a commit.
    pub(super) fn pages_at(&self, sequence: u64, sink: Sink<'_>) -> Result<Size, StoreError> {
        let (newest, archived) = {
            let state = self.state();
            (state.announced.max(state.archived), state.archived)
        };
        if archived < sequence && sequence <= newest {
            self.archive_now()?;
        }
        let _files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let listing = Listing::read(&self.folder)?;
        if sequence < listing.oldest() || newest < sequence {
            return Err(corrupt(&self.folder, format!("commit {sequence} is not kept")));
        }
        let mut picture = Picture { sequence, size: None, is_handed_over: Vec::new(), sink };
        if sequence == 0 {
            return Ok(Size::default());
        }
        let base = listing.bases.iter().copied().rfind(|base| *base <= sequence);
        let start = base.unwrap_or(0);
        // Down from the last segment that begins no later than what is asked for.
        let mut expected = None;
        for &first in listing.segments.iter().rev().filter(|first| **first <= sequence) {
            if start == sequence || expected.is_some_and(|expected| expected <= start) {
                break;
            }
            let Some(segment) = self.segment(first)? else { continue };
            if let Some(expected) = expected
                && segment.closing()?.last != expected
            {
                return Err(segment.corrupt(format!("commits up to {expected} are missing at its end")));
            }
            picture.read_segment(&segment, start)?;
            expected = Some(segment.opening()?.last);
        }
        if start != sequence && expected.is_none_or(|expected| start < expected) {
            return Err(corrupt(&self.folder, format!("a segment before commit {sequence} is missing")));
        }
        if let Some(base) = base {
            picture.read_base(&Reader::open(base_path(&self.folder, base), None)?)?;
        }
        picture.size.ok_or_else(|| corrupt(&self.folder, format!("commit {sequence} is missing")))
    }
}

/// A state that is being handed over, newest pages first.
struct Picture<'a> {
    sequence: u64,
    /// Known once the commit's own end was read.
    size: Option<Size>,
    /// A bit for each page.
    is_handed_over: Vec<u64>,
    sink: Sink<'a>,
}

impl Picture<'_> {
    /// Reads a segment's records with commits behind `start`, from the last back.
    fn read_segment(&mut self, segment: &Reader, start: u64) -> Result<(), StoreError> {
        let mut records = segment.records()?;
        records.retain(|(_, head)| start < head.next() && head.first <= self.sequence);
        for (offset, head) in records.into_iter().rev() {
            let damaged = || segment.corrupt(format!("the record at byte {offset} is damaged"));
            let replay = segment.content(offset, head)?.replay(self.sequence).ok_or_else(damaged)?;
            if self.size.is_none() {
                // The newest record holds the commit's own end.
                let pages = replay.size.ok_or_else(damaged)?;
                self.begin(Size { page_bytes: head.page_bytes, pages });
            }
            if self.size.is_some_and(|size| size.page_bytes != head.page_bytes) {
                return Err(damaged());
            }
            self.hand_over(&replay)?;
        }
        Ok(())
    }

    fn read_base(&mut self, base: &Reader) -> Result<(), StoreError> {
        let seal = base.closing()?;
        if self.size.is_none() {
            self.begin(Size { page_bytes: seal.page_bytes, pages: seal.size });
        }
        for (offset, head) in base.records()? {
            let damaged = || base.corrupt(format!("the record at byte {offset} is damaged"));
            let replay = base.content(offset, head)?.replay(u64::MAX).ok_or_else(damaged)?;
            self.hand_over(&replay)?;
        }
        Ok(())
    }

    fn begin(&mut self, size: Size) {
        self.size = Some(size);
        self.is_handed_over = vec![0; size.pages as usize / 64 + 1];
    }

    fn hand_over(&mut self, replay: &Replay) -> Result<(), StoreError> {
        let pages = self.size.map_or(0, |size| size.pages);
        for (page, image) in replay.images.sorted() {
            if page == 0 || pages < page {
                continue;
            }
            let (word, bit) = (page as usize / 64, 1_u64 << (page % 64));
            if self.is_handed_over[word] & bit == 0 {
                self.is_handed_over[word] |= bit;
                (self.sink)(page, image)?;
            }
        }
        Ok(())
    }
}
