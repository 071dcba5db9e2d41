//! What a history promises one by one: times, bounds, damage, and writers that never wait.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    sync::atomic::AtomicBool,
    thread,
    time::Duration,
};

use store::StoreError;

use super::*;
use crate::history::file::{self, Listing};

/// A room with a table, whose clock stands at its second second.
fn room(folder: &Path, limits: Limits) -> Room {
    let room = Room::open(folder, limits, &Clock::manual(NOW_MS));
    room.execute("CREATE TABLE t (a, b)").unwrap();
    room
}

/// Commits `bytes` that do not compress.
fn insert(room: &Room, bytes: usize) -> Sequence {
    room.execute(&format!("INSERT INTO t VALUES (1, randomblob({bytes}))")).unwrap()
}

fn listing(room: &Room) -> Listing {
    Listing::read(&room.folder.join("history")).unwrap()
}

fn flip(file: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn a_moment_finds_the_last_commit_before_it_wherever_that_lies() {
    let folder = folder();
    let room = room(folder.path(), small());
    // Commits 2, 4, 6 … are made in the same millisecond as the one before.
    for sequence in 2..=20 {
        if sequence % 2 == 1 {
            room.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(insert(&room, 600), Sequence(sequence));
        if sequence == 8 || sequence == 13 {
            room.history.checkpoint(How::Passive).unwrap();
        }
    }
    let check = |room: &Room| {
        let at = |ms: u64| room.history.at(ms).unwrap();
        assert_eq!(at(NOW_MS - 1), Some(Sequence(0)), "before the first commit the database was empty");
        for second in 0..9 {
            let last = Some(Sequence(2 * second + 2));
            assert_eq!(at(NOW_MS + second * 1000), last);
            assert_eq!(at(NOW_MS + second * 1000 + 999), last);
            for sequence in [2 * second + 1, 2 * second + 2] {
                let made_ms = room.history.moment(Sequence(sequence)).unwrap();
                assert_eq!(made_ms, Some(NOW_MS + second * 1000), "commit {sequence}");
            }
        }
        assert_eq!(at(u64::MAX), Some(Sequence(20)));
        assert_eq!(room.history.moment(Sequence(0)).unwrap(), None);
        assert_eq!(room.history.moment(Sequence(21)).unwrap(), None);
    };
    check(&room);
    let room = room.reopen();
    check(&room);
    room.history.checkpoint(How::Truncate).unwrap();
    check(&room);
    let room = room.reopen();
    check(&room);
    // A clock that was set back makes no commit older than the one before.
    let back = Room::open(folder.path(), small(), &Clock::manual(NOW_MS - 5_000));
    let sequence = insert(&back, 1);
    assert_eq!(back.history.moment(sequence).unwrap(), room.history.moment(Sequence(20)).unwrap());
}

#[test]
fn what_is_older_than_it_is_kept_goes_and_the_rest_stays_restorable() {
    let folder = folder();
    let room = room(folder.path(), Limits { keep: Duration::from_secs(30), ..small() });
    let mut pictures = vec![0, room.picture()];
    for _ in 0..100 {
        room.clock.advance(Duration::from_secs(1));
        insert(&room, 2_000);
        pictures.push(room.picture());
        room.history.checkpoint(How::Passive).unwrap();
        room.history.tidy().unwrap();
    }
    let oldest = room.history.oldest();
    let cutoff = room.history.at(room.clock.unix_ms() - 30_000).unwrap().unwrap();
    assert!(Sequence(20) < oldest && oldest <= cutoff, "{oldest:?} of {cutoff:?}");
    assert_eq!(room.history.at(NOW_MS).unwrap(), None);
    for sequence in oldest.0..=101 {
        assert_eq!(room.picture_at(Sequence(sequence)), pictures[usize::try_from(sequence).unwrap()]);
    }
    let gone = room.history.materialise(Sequence(oldest.0 - 1), &room.folder.join("gone")).unwrap_err();
    assert!(gone.to_string().contains("is not kept"), "{gone}");
    let room = room.reopen();
    assert_eq!(room.history.oldest(), oldest);
    assert_eq!(insert(&room, 1), Sequence(102));
}

#[test]
fn a_history_that_outgrows_its_limit_loses_its_oldest_part_and_no_number() {
    let folder = folder();
    let limits = Limits { bytes_max: 300 << 10, ..small() };
    let room = room(folder.path(), limits.clone());
    for turn in 0..300 {
        // Rows come and go: the database stays small and its history does not.
        insert(&room, 3_000);
        room.execute("DELETE FROM t WHERE rowid <= (SELECT max(rowid) - 10 FROM t)");
        if turn % 7 == 0 {
            room.history.checkpoint(How::Passive).unwrap();
            room.history.tidy().unwrap();
            assert!(room.history.bytes().unwrap() <= limits.bytes_max);
        }
    }
    let (oldest, newest) = (room.history.oldest(), room.history.newest());
    assert!(Sequence(100) < oldest && oldest.0 + 20 < newest.0, "{oldest:?} to {newest:?}");
    room.picture_at(oldest);
    assert_eq!(room.picture_at(newest), room.picture());
    // However small the limit: one base, and what follows it.
    let room = Room { limits: Limits { bytes_max: 1, ..limits }, ..room }.reopen();
    room.history.checkpoint(How::Truncate).unwrap();
    room.history.tidy().unwrap();
    assert_eq!((listing(&room).bases.len(), room.history.oldest()), (1, newest));
    assert_eq!(room.picture_at(newest), room.picture());
    let room = room.reopen();
    assert_eq!(insert(&room, 1), Sequence(newest.0 + 1));
    assert_eq!(room.picture_at(Sequence(newest.0 + 1)), room.picture());
}

#[test]
fn a_damaged_byte_is_found_and_named_and_what_lies_after_the_next_base_is_whole() {
    let folder = folder();
    let room = room(folder.path(), small());
    while listing(&room).bases.len() < 2 {
        insert(&room, 3_000);
        room.history.checkpoint(How::Passive).unwrap();
        room.history.tidy().unwrap();
    }
    let last = insert(&room, 10);
    let picture = room.picture();
    room.history.checkpoint(How::Truncate).unwrap();
    let Listing { bases, segments } = listing(&room);
    let between = *segments.iter().find(|first| bases[0] < **first && **first < bases[1]).unwrap();
    let path = file::segment_path(&room.folder.join("history"), between);
    let (mut refused, mut offset) = (0, 0);
    while offset < fs::metadata(&path).unwrap().len() {
        flip(&path, offset);
        match room.history.materialise(Sequence(bases[1] - 1), &room.folder.join("then")) {
            // A byte that no reading of this state needs.
            Ok(()) => {}
            Err(StoreError::Corrupt(failure)) => {
                assert_eq!(failure.file, path);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
        let mut after = room.picture_at(Sequence(bases[1]));
        assert_ne!(after, picture);
        after = room.picture_at(last);
        assert_eq!(after, picture);
        flip(&path, offset);
        offset += 97;
    }
    assert!(refused > 40, "{refused}");
    room.history.materialise(Sequence(bases[1] - 1), &room.folder.join("then")).unwrap();
}

#[test]
fn damage_in_the_way_of_a_base_costs_what_needs_it_and_the_history_goes_on_from_the_database() {
    let folder = folder();
    let mut room = room(folder.path(), small());
    let whole = insert(&room, 100);
    let picture = room.picture();
    for _ in 0..2 {
        // The newest segment, which would be appended to, and whose damage lies before its end.
        room.history.checkpoint(How::Passive).unwrap();
        let begins = fs::metadata(newest_segment(&room)).unwrap().len();
        insert(&room, 5_000);
        room.history.checkpoint(How::Passive).unwrap();
        let damaged = newest_segment(&room);
        flip(&damaged, begins + 1_000);
        let tidied = loop {
            insert(&room, 5_000);
            room.history.checkpoint(How::Passive).unwrap();
            if let Err(error) = room.history.tidy() {
                break error;
            }
        };
        assert!(matches!(&tidied, StoreError::Corrupt(failure) if failure.file == damaged), "{tidied}");
        assert!(room.history.checkpoint(How::Truncate).unwrap());
        room.history.tidy_at_rest().unwrap();
        let (newest, now) = (room.history.newest(), room.picture());
        assert_eq!(room.picture_at(newest), now);
        room = room.reopen();
        let later = insert(&room, 10);
        room.history.tidy().unwrap();
        assert_eq!((room.picture_at(newest), room.picture_at(later)), (now, room.picture()));
        room.history.materialise(Sequence(newest.0 - 1), &room.folder.join("then")).unwrap_err();
        assert_eq!(room.picture_at(whole), picture, "before the damage");
    }
    // What is too large goes, damaged or not.
    let limits = Limits { bytes_max: room.history.bytes().unwrap() / 2, ..small() };
    let room = Room { limits: limits.clone(), ..room }.reopen();
    assert!(room.history.checkpoint(How::Truncate).unwrap());
    room.history.tidy_at_rest().unwrap();
    assert!(room.history.bytes().unwrap() <= limits.bytes_max);
    assert_eq!(room.picture_at(room.history.newest()), room.picture());
}

fn newest_segment(room: &Room) -> PathBuf {
    file::segment_path(&room.folder.join("history"), *listing(room).segments.last().unwrap())
}

#[test]
fn a_torn_end_is_cut_off_and_the_log_has_it_still() {
    let folder = folder();
    let mut room = room(folder.path(), small());
    insert(&room, 100);
    room.history.checkpoint(How::Truncate).unwrap();
    insert(&room, 2_000);
    let picture = room.picture();
    for kept in [1, 63, 64, 65, 1_000, 2_000] {
        // Archived, and not moved: what was not synced may be torn.
        let segment = file::segment_path(&room.folder.join("history"), 1);
        let before = fs::metadata(&segment).unwrap().len();
        room.history.archive_now().unwrap();
        assert!(before + kept < fs::metadata(&segment).unwrap().len());
        OpenOptions::new().write(true).open(&segment).unwrap().set_len(before + kept).unwrap();
        room = room.reopen();
        assert_eq!(room.history.newest(), Sequence(3));
        assert_eq!(fs::metadata(&segment).unwrap().len(), before);
    }
    assert_eq!(room.picture_at(Sequence(3)), picture);
}

#[test]
fn writers_readers_checkpoints_and_restores_go_on_at_the_same_time() {
    const COMMITS: u64 = 600;
    let folder = folder();
    let room = Room::open(folder.path(), small(), &Clock::system());
    room.execute("CREATE TABLE n (n); INSERT INTO n VALUES (2); CREATE TABLE t (a, b)");
    // Two statements that commit were told of as one.
    let room = room.reopen();
    let first = room.history.newest().0;
    let count_at = |sequence: u64, file: &Path| {
        room.history.materialise(Sequence(sequence), file).unwrap();
        Connection::open(file).unwrap().query_row("SELECT n FROM n", [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let (history, writer, frames) = (&room.history, room.writer, &room.frames);
    let (database, is_done) = (folder.path().join("db.sqlite"), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let writer = writer;
            for turn in 0..COMMITS {
                let sql = format!(
                    "BEGIN; UPDATE n SET n = n + 1; INSERT INTO t VALUES ({turn}, randomblob(300)); COMMIT"
                );
                writer.execute_batch(&sql).unwrap();
                let sequence = history.committed(frames.load(Ordering::Relaxed));
                assert_eq!(sequence, Sequence(first + 1 + turn));
            }
            is_done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                history.checkpoint(How::Passive).unwrap();
                history.tidy().unwrap();
            }
        });
        scope.spawn(|| {
            let file = folder.path().join("restored");
            while !is_done.load(Ordering::Relaxed) {
                let newest = history.newest().0;
                assert_eq!(count_at(newest, &file) - 2, newest - first);
                let reader = connect(&database);
                reader.execute_batch("BEGIN; SELECT n FROM n").unwrap();
            }
        });
    });
    assert!(history.checkpoint(How::Truncate).unwrap());
    for sequence in first..=first + COMMITS {
        assert_eq!(count_at(sequence, &folder.path().join("restored")) - 2, sequence - first);
    }
}
