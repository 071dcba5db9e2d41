//! A database's history: every commit of its log kept, so that the state after any of them can be had again. It moves the log
//! into the database's file, since what leaves the log must have been kept before; what a restore does with a state, and
//! when work is due, is the room's business.
//!
//! Files, formats and reasons: `docs/adr/2026-11-27-d1-history.md`.

mod archive;
mod base;
mod block;
mod file;
mod log;
mod lookup;
mod moments;
mod patch;
mod prune;
mod record;
mod restore;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use store::{Failure, StoreError};
use tasks::Clock;

use self::{
    archive::Archive,
    file::Listing,
    moments::{Moments, Notes},
};
use crate::model::DATABASE_PAGES_MAX;

/// A segment is what is dropped at once when it is old.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What a restore reads at most besides a base, unless the base is larger.
const BASE_AFTER_BYTES: u64 = 64 << 20;

/// As many as the largest database has pages: one commit may write all of them.
const LOG_FRAMES_MAX: u64 = DATABASE_PAGES_MAX;

/// What a history may use, and how finely it is cut.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How long every commit stays restorable.
    pub(crate) keep: Duration,
    /// Bytes on disk at which the oldest part goes even if it is younger; one base copy and what follows it always stay.
    pub(crate) bytes_max: u64,
    /// Bytes at which a segment ends.
    pub(crate) segment_bytes: u64,
    /// Bytes of segments after which a base copy is made, unless the last was larger.
    pub(crate) base_after_bytes: u64,
    /// Frames of a log that cannot be archived at which the database takes no more writes.
    pub(crate) log_frames_max: u64,
}

impl Limits {
    /// With files of the usual sizes.
    pub(crate) fn new(keep: Duration, bytes_max: u64) -> Self {
        Self {
            keep,
            bytes_max,
            segment_bytes: SEGMENT_BYTES,
            base_after_bytes: BASE_AFTER_BYTES,
            log_frames_max: LOG_FRAMES_MAX,
        }
    }
}

#[cfg(test)]
impl Default for Limits {
    fn default() -> Self {
        Self::new(Duration::from_secs(30 * 24 * 60 * 60), 10_000_000_000)
    }
}

/// A commit's number in its database: each is one more than the one before, and the state before the first is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(pub(crate) u64);

/// How far the log is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// As far as readers and the writer let it, waiting for nobody.
    Passive,
    /// Wholly, and the next commit begins at its front. The caller holds the writer back.
    Restart,
    /// Wholly, and its file is empty: before the database is closed. The caller holds the writer back.
    Truncate,
}

/// The history of one database.
pub(crate) struct History {
    database: PathBuf,
    log: PathBuf,
    folder: PathBuf,
    limits: Limits,
    clock: Clock,
    state: Mutex<State>,
    /// Held while the log is read and moved.
    archive: Mutex<Archive>,
    /// Held while bases are made and old files dropped.
    tidying: Mutex<()>,
    /// Held for reading while files are read, for writing while some are removed.
    files: RwLock<()>,
}

/// What the writer and everybody else share; held for a moment only.
struct State {
    /// The newest commit that the writer told of, and the log's frames after it.
    announced: u64,
    announced_frames: u32,
    /// The newest commit archived.
    archived: u64,
    /// The newest segment by its first commit, and how much of it is sealed.
    end: Option<(u64, u64)>,
    oldest: u64,
    /// Of commits that are not archived, and perhaps of some that are.
    moments: Moments,
    notes: Notes,
    is_noting: bool,
}

impl fmt::Debug for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("History").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl History {
    /// Opens the history in `folder`, or begins one. What a crash left half written is cut off; what it left in the log counts.
    pub(crate) fn open(
        folder: &Path,
        database: &Path,
        limits: Limits,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        store::create_folder(folder)?;
        base::remove_unfinished(folder)?;
        let log = log_of(database);
        let tail = archive::open_tail(folder, &log)?;
        let seal = tail.as_ref().map(file::Tail::seal).unwrap_or_default();
        let left = match log::Log::open(&log)? {
            Some(log) => {
                let from = log.resume(seal.log);
                log.survey(from, 0)?
            }
            None => log::Survey::none(),
        };
        let (notes, noted) = Notes::open(&folder.join("moments"))
            .map_err(|error| StoreError::file("open", &folder.join("moments"), &error))?;
        let (newest, listing) = (seal.last + left.commits, Listing::read(folder)?);
        // As it was to be when the base was made.
        let is_rolling = listing.bases.last() == Some(&seal.last);
        let state = State {
            announced: newest,
            announced_frames: left.end.frames,
            archived: seal.last,
            end: tail.as_ref().map(file::Tail::end),
            oldest: listing.oldest(),
            moments: moments_left(&seal, newest, &noted, clock.unix_ms()),
            notes,
            is_noting: true,
        };
        Ok(Self {
            database: database.to_owned(),
            log,
            folder: folder.to_owned(),
            limits,
            clock,
            state: Mutex::new(state),
            archive: Mutex::new(Archive::new(tail, is_rolling)),
            tidying: Mutex::new(()),
            files: RwLock::new(()),
        })
    }

    /// Learns of a commit from the writer, right after it, with the frames that the log then had. Returns its number.
    pub(crate) fn committed(&self, log_frames: u32) -> Sequence {
        let moment_ms = self.clock.unix_ms();
        let mut state = self.state();
        state.announced += 1;
        state.announced_frames = log_frames;
        let sequence = state.announced;
        state.note(sequence, moment_ms);
        Sequence(sequence)
    }

    /// The newest commit.
    pub(crate) fn newest(&self) -> Sequence {
        let state = self.state();
        Sequence(state.announced.max(state.archived))
    }

    /// The oldest commit whose state can be had.
    pub(crate) fn oldest(&self) -> Sequence {
        Sequence(self.state().oldest)
    }

    /// Refuses more commits if that many frames are as long as a log that cannot be archived may be.
    pub(crate) fn check_log(&self, frames: u32) -> Result<(), StoreError> {
        if u64::from(frames) < self.limits.log_frames_max {
            return Ok(());
        }
        let cause = format!("{frames} pages in it could not be archived, and it may not grow further");
        Err(StoreError::File(Failure { tried: "write to", file: self.log.clone(), cause }))
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        let failed = |error: std::io::Error| StoreError::file("measure", &self.folder, &error);
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            // One that was just removed has none.
            bytes += entry.map_err(failed)?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, sequence: u64, moment_ms: u64) {
        self.moments.note(sequence, moment_ms);
        let noted = self.notes.note(sequence, moment_ms);
        if let (Err(error), true) = (&noted, self.is_noting) {
            tracing::warn!(%error, "A crash would now blur when the last commits were made");
        }
        self.is_noting = noted.is_ok();
    }
}

/// When the commits were made that a crash left in the log; in a history that knows no moment yet, now.
fn moments_left(seal: &block::Seal, newest: u64, noted: &[(u64, u64)], now_ms: u64) -> Moments {
    let mut moments = Moments::default();
    moments.note(seal.last, seal.last_ms);
    let mut noted = noted.iter().copied().peekable();
    let mut moment_ms = if seal.last == 0 && noted.peek().is_none() { now_ms } else { seal.last_ms };
    for sequence in seal.last + 1..=newest {
        while let Some((_, noted_ms)) = noted.next_if(|&(first, _)| first <= sequence) {
            moment_ms = moment_ms.max(noted_ms);
        }
        moments.note(sequence, moment_ms);
    }
    moments
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A moment at which a crash must do no harm.
fn step(name: &'static str) {
    store::fault::point(name);
    #[cfg(test)]
    tests::crash::observe(name);
}
