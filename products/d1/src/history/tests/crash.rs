//! The disk as a crash at each step leaves it: a copy is taken at the step, worsened as a power failure may, and opened.

use std::{
    cell::RefCell,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
};

use super::*;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Copies a database's folder at each step from now on.
struct Observer {
    folder: PathBuf,
    copies: Vec<Copied>,
    /// Bytes of the log, and of each file of the history, that are surely on disk.
    log_synced: u64,
    synced: Vec<(PathBuf, u64)>,
}

/// What one step left.
struct Copied {
    step: &'static str,
    folder: PathBuf,
    log_synced: u64,
    /// By name; what is not here may be lost whole.
    synced: Vec<(PathBuf, u64)>,
}

/// Called at each step of the history, on the thread that does it.
pub(in crate::history) fn observe(step: &'static str) {
    // Taken out: what the copy does has steps of its own.
    let Some(mut observer) = OBSERVER.take() else { return };
    observer.observe(step);
    OBSERVER.set(Some(observer));
}

impl Observer {
    fn observe(&mut self, step: &'static str) {
        if step == "d1 history: log synced" {
            self.log_synced = length(&self.folder.join("db.sqlite-wal"));
        }
        if step != "d1 history: batch written" {
            self.synced = lengths(&self.folder.join("history"));
        }
        let copy = self.folder.with_extension(self.copies.len().to_string());
        copy_folder(&self.folder, &copy);
        let synced = self.synced.clone();
        self.copies.push(Copied { step, folder: copy, log_synced: self.log_synced, synced });
    }
}

/// By a process of its own: this one must not close a descriptor of a database's file that SQLite has locked.
#[expect(clippy::disallowed_methods, reason = "a copy by another process")]
fn copy_folder(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn lengths(folder: &Path) -> Vec<(PathBuf, u64)> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| (PathBuf::from(&name), length(&folder.join(&name)))).collect()
}

/// How a copy is worsened, as a power failure may: what was never synced is gone or zeros.
#[derive(Debug, Clone, Copy)]
enum Worsened {
    Not,
    /// Unsynced ends are cut off.
    Cut,
    /// Half of each unsynced end is cut off.
    Half,
    /// The unsynced ends of the history have their lengths, and zeros in the middle.
    Hole,
}

impl Copied {
    fn worsen(&self, how: Worsened) {
        let log = self.folder.join("db.sqlite-wal");
        if !matches!(how, Worsened::Not) && self.log_synced < length(&log) {
            open(&log).set_len(self.log_synced).unwrap();
        }
        for (name, bytes) in lengths(&self.folder.join("history")) {
            let path = self.folder.join("history").join(&name);
            let synced = self.synced.iter().find(|(known, _)| *known == name).map_or(0, |(_, bytes)| *bytes);
            let unsynced = bytes.saturating_sub(synced);
            match how {
                _ if unsynced == 0 => {}
                Worsened::Not => {}
                Worsened::Cut => open(&path).set_len(synced).unwrap(),
                Worsened::Half => open(&path).set_len(synced + unsynced / 2).unwrap(),
                Worsened::Hole => {
                    let zeros = vec![0; usize::try_from(unsynced / 2).unwrap()];
                    open(&path).write_all_at(&zeros, synced + unsynced / 4).unwrap();
                }
            }
        }
    }
}

fn open(path: &Path) -> fs::File {
    OpenOptions::new().write(true).open(path).unwrap()
}

/// Opens a copy: the history must agree with what SQLite makes of the same disk, and go on.
fn check(copy: &Copied, pictures: &[u64], limits: &Limits, how: Worsened) {
    let context = || format!("at `{}`, {how:?}", copy.step);
    copy.worsen(how);
    let room = Room::open(&copy.folder, limits.clone(), &Clock::manual(NOW_MS));
    let newest = room.history.newest().0;
    let kept = &pictures[usize::try_from(newest).unwrap()];
    assert_eq!(room.picture(), *kept, "the database is what its newest commit left, {}", context());
    room.execute("INSERT INTO t VALUES (777, 'after')").unwrap();
    let after = room.picture();
    for round in 0..2 {
        let oldest = room.history.oldest().0;
        for sequence in [oldest, (oldest + newest) / 2, newest.saturating_sub(1).max(oldest), newest] {
            let then = pictures[usize::try_from(sequence).unwrap()];
            assert_eq!(room.picture_at(Sequence(sequence)), then, "commit {sequence}, {}", context());
        }
        assert_eq!(room.picture_at(Sequence(newest + 1)), after, "the next commit, {}", context());
        let how = if round == 0 { How::Passive } else { How::Truncate };
        room.history.checkpoint(how).unwrap();
    }
}

#[test]
fn a_crash_or_a_power_failure_at_any_step_loses_no_durable_commit_and_invents_none() {
    let root = folder();
    let (folder, clock) = (root.path().join("database"), Clock::manual(NOW_MS));
    fs::create_dir(&folder).unwrap();
    let limits = Limits { bytes_max: 60 << 10, ..small() };
    let mut room = Room::open(&folder, limits.clone(), &clock);
    let (mut pictures, mut seed) = (vec![room.picture()], 0_u64);
    room.execute("CREATE TABLE t (a, b)");
    pictures.push(room.picture());
    OBSERVER.set(Some(Observer {
        folder: folder.clone(),
        copies: Vec::new(),
        log_synced: 0,
        synced: lengths(&folder.join("history")),
    }));
    for turn in 0..8 {
        for _ in 0..4 {
            seed += 1;
            let bytes = if seed % 5 == 0 { 5_000 } else { 40 };
            room.execute(&format!("INSERT INTO t VALUES ({seed}, hex(randomblob({bytes})))")).unwrap();
            pictures.push(room.picture());
        }
        let how = [How::Passive, How::Passive, How::Restart, How::Truncate][turn % 4];
        room.history.checkpoint(how).unwrap();
        room.history.tidy().unwrap();
        if turn == 5 {
            room = room.reopen();
        }
    }
    let observer = OBSERVER.take().unwrap();
    let steps: std::collections::BTreeSet<_> = observer.copies.iter().map(|copy| copy.step).collect();
    assert_eq!(steps.len(), 8, "every step was passed: {steps:?}");
    for copy in &observer.copies {
        for how in [Worsened::Not, Worsened::Cut, Worsened::Half, Worsened::Hole] {
            let worsened = Copied {
                folder: copy.folder.with_extension("worsened"),
                synced: copy.synced.clone(),
                ..*copy
            };
            copy_folder(&copy.folder, &worsened.folder);
            check(&worsened, &pictures, &limits, how);
            fs::remove_dir_all(&worsened.folder).unwrap();
        }
    }
}
