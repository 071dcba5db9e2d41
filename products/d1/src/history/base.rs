//! Base copies: the whole state after a commit in one file, so that a restore need not read what came before, and it can go.

use std::{fs, io, path::Path};

use store::{StoreError, sync_folder};

use super::{
    History, Sequence,
    block::Seal,
    file::{Listing, Tail, base_path, segment_path},
    record::Builder,
};

/// A base that is being written.
const UNFINISHED: &str = "base.new";

/// Removes what a crash left of a base that was being written.
pub(super) fn remove_unfinished(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(UNFINISHED);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::file("remove", &path, &error))
        }
        _ => Ok(()),
    }
}

impl History {
    /// Makes a base of what is archived, if enough lies behind the last one. Says whether it did.
    pub(super) fn make_base_if_due(&self) -> Result<bool, StoreError> {
        let (archived, listing) = (self.state().archived, Listing::read(&self.folder)?);
        let last = listing.bases.last().copied().unwrap_or(0);
        let behind: u64 = listing
            .segments
            .iter()
            .filter(|first| last < **first)
            .map(|first| bytes_of(&segment_path(&self.folder, *first)))
            .sum();
        let last_bytes = if last == 0 { 0 } else { bytes_of(&base_path(&self.folder, last)) };
        let is_due = last < archived && self.limits.base_after_bytes.max(last_bytes) <= behind;
        if is_due {
            self.make_base(archived)?;
            // What the base replaces shall be droppable without what comes next.
            self.roll();
        }
        Ok(is_due)
    }

    /// Makes the base that holds the state after commit `sequence`, from the base before it and segments.
    pub(super) fn make_base(&self, sequence: u64) -> Result<(), StoreError> {
        let unfinished = self.folder.join(UNFINISHED);
        let written = self.write_base(sequence, &unfinished);
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        let path = base_path(&self.folder, sequence);
        fs::rename(&unfinished, &path).map_err(|error| StoreError::file("name", &path, &error))?;
        super::step("d1 history: base named");
        sync_folder(&self.folder)
    }

    fn write_base(&self, sequence: u64, path: &Path) -> Result<(), StoreError> {
        let mut tail = Tail::create_base(path.to_owned(), sequence)?;
        let mut batch = tail.batch()?;
        let mut builder: Option<Builder> = None;
        let size = self.pages_at(sequence, &mut |page: u32, image: &[u8]| {
            let builder = builder.get_or_insert_with(|| Builder::new(image.len(), sequence));
            builder.push(page, image, None);
            if builder.is_full() { batch.append(builder) } else { Ok(()) }
        })?;
        if let Some(builder) = &mut builder {
            batch.append(builder)?;
        }
        let last_ms = self.moment(Sequence(sequence))?.unwrap_or(0);
        let seal = Seal {
            page_bytes: size.page_bytes,
            last: sequence,
            last_ms,
            size: size.pages,
            ..Seal::default()
        };
        batch.seal(seal)?;
        super::step("d1 history: base written");
        Ok(())
    }
}

/// A file's length; one that is gone has none.
pub(super) fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
