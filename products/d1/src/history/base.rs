//! Base copies: the whole state after a commit in one file, so that a restore need not read what came before, and it can go.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use store::{StoreError, sync_folder};

use super::{
    History, Sequence,
    block::Seal,
    file::{Listing, Tail, base_path, segment_path},
    record::Builder,
    restore::{Sink, Size},
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
        let last_ms = self.moment(Sequence(sequence))?.unwrap_or(0);
        self.put_base(sequence, last_ms, &|sink| self.pages_at(sequence, sink))
    }

    /// Makes the base that holds the newest state from the database's file, whatever has become of the history before it. The
    /// log must have been emptied, and the database be about to be closed.
    pub(super) fn make_base_of_database(&self) -> Result<(), StoreError> {
        let newest = self.newest_seal();
        self.put_base(newest.last, newest.last_ms, &|sink| pages_of(&self.database, &newest, sink))?;
        self.roll();
        Ok(())
    }

    fn put_base(&self, sequence: u64, last_ms: u64, pages: Pages<'_>) -> Result<(), StoreError> {
        let unfinished = self.folder.join(UNFINISHED);
        let written = write_base(&unfinished, sequence, last_ms, pages);
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        let path = base_path(&self.folder, sequence);
        fs::rename(&unfinished, &path).map_err(|error| StoreError::file("name", &path, &error))?;
        super::step("d1 history: base named");
        sync_folder(&self.folder)
    }
}

/// Hands the pages of a state to a sink; says how large it is.
type Pages<'a> = &'a dyn Fn(Sink<'_>) -> Result<Size, StoreError>;

fn write_base(path: &Path, sequence: u64, last_ms: u64, pages: Pages<'_>) -> Result<(), StoreError> {
    let mut tail = Tail::create_base(path.to_owned(), sequence)?;
    let mut batch = tail.batch()?;
    let mut builder: Option<Builder> = None;
    let size = pages(&mut |page: u32, image: &[u8]| {
        let builder = builder.get_or_insert_with(|| Builder::new(image.len(), sequence));
        builder.push(page, image, None);
        if builder.is_full() { batch.append(builder) } else { Ok(()) }
    })?;
    if let Some(builder) = &mut builder {
        batch.append(builder)?;
    }
    let (page_bytes, size) = (size.page_bytes, size.pages);
    batch.seal(Seal { page_bytes, last: sequence, last_ms, size, ..Seal::default() })?;
    super::step("d1 history: base written");
    Ok(())
}

/// The pages of a database's file that has no log, as large as its newest commit left it. For one that is being closed: a file that was
/// opened beside SQLite takes the process's lock with it when it is closed.
fn pages_of(database: &Path, newest: &Seal, sink: Sink<'_>) -> Result<Size, StoreError> {
    let failed = |error: io::Error| StoreError::file("read", database, &error);
    let file = File::open(database).map_err(failed)?;
    let size = Size { page_bytes: newest.page_bytes, pages: newest.size };
    let mut image = vec![0; size.page_bytes as usize];
    for page in 1..=size.pages {
        file.read_exact_at(&mut image, u64::from(page - 1) * u64::from(size.page_bytes)).map_err(failed)?;
        sink(page, &image)?;
    }
    Ok(size)
}

/// A file's length; one that is gone has none.
pub(super) fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
