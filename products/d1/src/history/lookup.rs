//! Commits by time, and times of commits.

use std::sync::PoisonError;

use store::StoreError;

use super::{
    History, Sequence,
    file::{Listing, Reader, base_path, segment_path},
};

impl History {
    /// The last commit made at `moment_ms` or before; `None` if that is longer ago than what is kept.
    pub(crate) fn at(&self, moment_ms: u64) -> Result<Option<Sequence>, StoreError> {
        if let Some(sequence) = self.state().moments.at(moment_ms) {
            return Ok(Some(Sequence(sequence)));
        }
        let _files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let listing = Listing::read(&self.folder)?;
        for &first in listing.segments.iter().rev() {
            let Some(segment) = self.segment(first)? else { continue };
            let opening = segment.opening()?;
            if moment_ms < opening.last_ms {
                continue;
            }
            let found = last_made_by(&segment, moment_ms)?.unwrap_or(opening.last);
            return Ok((listing.oldest() <= found).then_some(Sequence(found)));
        }
        Ok((listing.oldest() == 0).then_some(Sequence(0)))
    }

    /// When a commit was made; `None` if it is not kept, or is the empty database.
    pub(crate) fn moment(&self, sequence: Sequence) -> Result<Option<u64>, StoreError> {
        if let Some(moment_ms) = self.state().moments.of(sequence.0) {
            return Ok(Some(moment_ms));
        }
        let _files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let listing = Listing::read(&self.folder)?;
        if sequence.0 == 0 || sequence.0 < listing.oldest() {
            return Ok(None);
        }
        if listing.bases.contains(&sequence.0) {
            let base = Reader::open(base_path(&self.folder, sequence.0), None)?;
            return Ok(Some(base.closing()?.last_ms));
        }
        let Some(&first) = listing.segments.iter().rfind(|first| **first <= sequence.0) else {
            return Ok(None);
        };
        let Some(segment) = self.segment(first)? else { return Ok(None) };
        for (offset, head) in segment.records()? {
            if (head.first..head.next()).contains(&sequence.0) {
                let moments = moments_in(&segment, offset, head)?;
                let at = usize::try_from(sequence.0 - head.first).unwrap_or(usize::MAX);
                return Ok(moments.get(at).copied());
            }
        }
        Ok(None)
    }

    /// Opens a segment as far as it is sealed; `None` if nothing of it is yet.
    pub(super) fn segment(&self, first: u64) -> Result<Option<Reader>, StoreError> {
        let length = match self.state().end {
            Some((newest, length)) if first == newest => Some(length),
            Some((newest, _)) if first < newest => None,
            _ => return Ok(None),
        };
        Reader::open(segment_path(&self.folder, first), length).map(Some)
    }
}

/// The last commit of a segment that was made at `moment_ms` or before.
fn last_made_by(segment: &Reader, moment_ms: u64) -> Result<Option<u64>, StoreError> {
    let mut found = None;
    for (offset, head) in segment.records()? {
        if head.commits == 0 {
            continue;
        }
        if moment_ms < head.first_ms {
            break;
        }
        if head.last_ms <= moment_ms {
            found = Some(head.next() - 1);
            continue;
        }
        let moments = moments_in(segment, offset, head)?;
        let before = moments.partition_point(|made_ms| *made_ms <= moment_ms);
        found = Some(head.first + before as u64 - 1);
        break;
    }
    Ok(found)
}

fn moments_in(segment: &Reader, offset: u64, head: super::block::Head) -> Result<Vec<u64>, StoreError> {
    let moments = segment.content(offset, head)?.moments();
    moments.ok_or_else(|| segment.corrupt(format!("the record at byte {offset} is damaged")))
}
