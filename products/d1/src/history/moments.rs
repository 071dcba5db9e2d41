//! When the commits were made that lie in the log alone: in memory exactly, and now and then in a small file that is never
//! synced. What a crash takes of it, counts as made at the last moment that is known.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// How far apart the moments in the file are: what a crash may shift a commit's moment by.
const NOTE_INTERVAL_MS: u64 = 100;

/// Sequence, moment, checksum.
const NOTE_BYTES: usize = 20;

/// Notes read after a crash; a log that spans more than these 28 hours is known by its newest part less exactly.
const NOTES_MAX: u64 = 1_000_000;

/// Runs of commits that were made in the same millisecond.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    /// The first commit of each run, and its moment; both only grow.
    runs: VecDeque<(u64, u64)>,
    /// The last commit noted.
    last: u64,
}

impl Moments {
    /// Notes the next commit; one that is known already keeps its moment. Moments never go back, even if the clock does.
    pub(super) fn note(&mut self, sequence: u64, moment_ms: u64) {
        if sequence <= self.last {
            return;
        }
        self.last = sequence;
        if self.runs.back().is_none_or(|&(_, last_ms)| last_ms < moment_ms) {
            self.runs.push_back((sequence, moment_ms));
        }
    }

    /// When a commit was made, if it is one of these.
    pub(super) fn of(&self, sequence: u64) -> Option<u64> {
        let run = self.runs.partition_point(|&(first, _)| first <= sequence).checked_sub(1)?;
        (sequence <= self.last).then(|| self.runs[run].1)
    }

    /// The last of these commits that was made at `moment_ms` or before.
    pub(super) fn at(&self, moment_ms: u64) -> Option<u64> {
        let runs = self.runs.partition_point(|&(_, ms)| ms <= moment_ms);
        let next = self.runs.get(runs).map_or(self.last + 1, |&(first, _)| first);
        (0 < runs).then(|| next - 1)
    }

    /// Forgets commits up to `sequence`, but for the moment that the next may share.
    pub(super) fn forget_through(&mut self, sequence: u64) {
        while self.runs.get(1).is_some_and(|&(first, _)| first <= sequence + 1) {
            self.runs.pop_front();
        }
    }
}

/// The file.
pub(super) struct Notes {
    file: File,
    length: u64,
    noted_ms: u64,
}

impl Notes {
    /// Opens the file and reads what it says of commits.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<(u64, u64)>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let length = file.metadata()?.len().min(NOTES_MAX * NOTE_BYTES as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let notes: Vec<_> = bytes.as_chunks::<NOTE_BYTES>().0.iter().map_while(decode).collect();
        let length = (notes.len() * NOTE_BYTES) as u64;
        Ok((Self { file, length, noted_ms: 0 }, notes))
    }

    /// Notes a commit, unless one was noted just before.
    pub(super) fn note(&mut self, sequence: u64, moment_ms: u64) -> io::Result<()> {
        if self.noted_ms <= moment_ms && moment_ms - self.noted_ms < NOTE_INTERVAL_MS {
            return Ok(());
        }
        self.noted_ms = moment_ms;
        self.file.write_all_at(&encode(sequence, moment_ms), self.length)?;
        self.length += NOTE_BYTES as u64;
        Ok(())
    }

    /// Starts over: all that was noted is archived, but perhaps for commits from `next` on.
    pub(super) fn start_over(&mut self, next: Option<(u64, u64)>) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.length, self.noted_ms) = (0, 0);
        next.map_or(Ok(()), |(sequence, moment_ms)| self.note(sequence, moment_ms))
    }
}

fn encode(sequence: u64, moment_ms: u64) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[..8].copy_from_slice(&sequence.to_le_bytes());
    note[8..16].copy_from_slice(&moment_ms.to_le_bytes());
    let sum = crc32fast::hash(&note[..16]);
    note[16..].copy_from_slice(&sum.to_le_bytes());
    note
}

fn decode(note: &[u8; NOTE_BYTES]) -> Option<(u64, u64)> {
    let (sequence, moment_ms) = (note.first_chunk()?, note[8..].first_chunk()?);
    let sum = crc32fast::hash(&note[..16]);
    (note[16..] == sum.to_le_bytes()).then(|| (u64::from_le_bytes(*sequence), u64::from_le_bytes(*moment_ms)))
}
