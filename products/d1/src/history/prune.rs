//! What is dropped of a history: what is older than it is kept, and the oldest part of one that is too large. The newest base
//! and what follows it always stay, and so does the newest segment, whose end says where to go on.

use std::{
    fs,
    path::PathBuf,
    sync::{PoisonError, TryLockError},
    time::Duration,
};

use store::{StoreError, sync_folder};

use super::{
    History,
    base::bytes_of,
    file::{Listing, Reader, base_path, segment_path},
};

/// What a history is brought down to once it is too large, as a share of its limit: else each commit would drop a little.
const KEPT_NUMERATOR: u64 = 3;
const KEPT_DENOMINATOR: u64 = 4;

impl History {
    /// Makes a base if one is due, and drops what need not be kept. May run at any time; makes two bases at most.
    pub(crate) fn tidy(&self) -> Result<(), StoreError> {
        let _turn = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_base_if_due()?;
        self.drop_the_old()?;
        self.drop_the_excess()
    }

    /// Likewise, when the log has been emptied and nobody writes: then damage in the way of a base does not stop the history, which
    /// goes on from a base made of the database itself.
    pub(crate) fn tidy_at_rest(&self) -> Result<(), StoreError> {
        let _turn = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.make_base_if_due() {
            let StoreError::Corrupt(_) = error else { return Err(error) };
            tracing::warn!(
                %error,
                "A part of a database's history is damaged: commits that need it cannot be restored, and later ones can again"
            );
            self.make_base_of_database()?;
        }
        self.drop_the_old()?;
        self.drop_the_excess()
    }

    /// Drops what lies before the newest base that is old enough itself.
    fn drop_the_old(&self) -> Result<(), StoreError> {
        let cutoff_ms = self.clock.unix_ms().saturating_sub(millis(self.limits.keep));
        let listing = Listing::read(&self.folder)?;
        for &base in listing.bases.iter().rev() {
            let seal = Reader::open(base_path(&self.folder, base), None)?.closing()?;
            if seal.last_ms <= cutoff_ms {
                return self.drop_before(base).map(drop);
            }
        }
        Ok(())
    }

    /// Brings a history that is too large below its limit by moving its oldest point up, to a base that may have to be made.
    fn drop_the_excess(&self) -> Result<(), StoreError> {
        let bytes = self.bytes()?;
        if bytes <= self.limits.bytes_max {
            return Ok(());
        }
        let Some(mut start) = self.start_that_fits()? else { return Ok(()) };
        let bases = Listing::read(&self.folder)?.bases;
        if !bases.contains(&start) {
            match (self.make_base(start), bases.into_iter().find(|base| start < *base)) {
                // What is damaged goes as well.
                (Err(StoreError::Corrupt(_)), Some(next)) => start = next,
                (made, _) => made?,
            }
            if start == self.state().archived {
                self.roll();
            }
        }
        if self.drop_before(start)? {
            tracing::warn!(
                folder = %self.folder.display(),
                bytes,
                bytes_max = self.limits.bytes_max,
                oldest = start,
                "A database's history had outgrown its limit; its oldest part is dropped"
            );
        }
        Ok(())
    }

    /// The oldest commit whose base, with all that follows it, stays well below the limit; the newest, if none does; `None` if
    /// that is so already.
    fn start_that_fits(&self) -> Result<Option<u64>, StoreError> {
        let (archived, listing) = (self.state().archived, Listing::read(&self.folder)?);
        let goal = self.limits.bytes_max / KEPT_DENOMINATOR * KEPT_NUMERATOR;
        let ends = listing.segments.iter().skip(1).map(|first| first - 1).chain([archived]);
        let mut starts: Vec<u64> = listing.bases.iter().copied().chain(ends).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|start| listing.oldest() < *start);
        let found = starts.iter().copied().find(|start| self.bytes_from(*start, &listing) <= goal);
        Ok(found.or_else(|| starts.last().copied()))
    }

    /// What would stay on disk if the history began at commit `start`.
    fn bytes_from(&self, start: u64, listing: &Listing) -> u64 {
        let base_of = |base: u64| bytes_of(&base_path(&self.folder, base));
        let bases = listing.bases.iter().filter(|base| start <= **base).map(|base| base_of(*base));
        let begins = listing.segments.partition_point(|first| *first <= start + 1).saturating_sub(1);
        let segments =
            listing.segments[begins..].iter().map(|first| bytes_of(&segment_path(&self.folder, *first)));
        // A base that is not made yet will be about as large as the last one, or as the database.
        let new = match listing.bases.last() {
            _ if listing.bases.contains(&start) => 0,
            Some(last) => base_of(*last),
            None => bytes_of(&self.database),
        };
        bases.sum::<u64>() + segments.sum::<u64>() + new
    }

    /// Drops what lies before a base. Says whether there was anything, and no restore was reading it.
    fn drop_before(&self, base: u64) -> Result<bool, StoreError> {
        let _files = match self.files.try_write() {
            Ok(files) => files,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody reads; the next tidying comes.
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        let listing = Listing::read(&self.folder)?;
        let newer = listing.segments.iter().skip(1);
        let old_segments = listing.segments.iter().zip(newer).filter(|(_, next)| **next <= base + 1);
        let old_bases = listing.bases.iter().filter(|old| **old < base);
        // Bases first, and segments from the oldest: whatever a crash leaves is one history without a hole.
        let old: Vec<PathBuf> = old_bases
            .map(|old| base_path(&self.folder, *old))
            .chain(old_segments.map(|(first, _)| segment_path(&self.folder, *first)))
            .collect();
        for path in &old {
            fs::remove_file(path).map_err(|error| StoreError::file("remove", path, &error))?;
            super::step("d1 history: old file removed");
        }
        if !old.is_empty() {
            sync_folder(&self.folder)?;
        }
        self.state().oldest = Listing::read(&self.folder)?.oldest();
        Ok(!old.is_empty())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
