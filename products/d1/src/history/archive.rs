//! From the log into the newest segment, and only then from the log into the database's file. Nothing can leave the log before
//! it is archived: a read transaction of ours bounds how far SQLite moves pages, and it begins before the log is read.

use std::{
    fs,
    path::Path,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use store::{
    StoreError, create_folder,
    rusqlite::{Connection, OpenFlags, config::DbConfig},
    sync_folder,
};

use super::{
    History, How,
    block::Seal,
    file::{Listing, Tail, corrupt, segment_path},
    log::{Log, Position, Survey},
    record::{Builder, Commit},
};

/// How long emptying the log waits for readers to end.
const READERS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What reading and moving the log needs; one at a time.
pub(super) struct Archive {
    tail: Option<Tail>,
    /// Whether the next batch begins a segment, however long the newest is.
    is_rolling: bool,
    connections: Option<Connections>,
}

struct Connections {
    /// Holds a read transaction while the other moves pages.
    pin: Connection,
    mover: Connection,
}

impl Archive {
    /// `is_rolling` if the next batch shall begin a segment.
    pub(super) fn new(tail: Option<Tail>, is_rolling: bool) -> Self {
        Self { tail, is_rolling, connections: None }
    }

    fn seal(&self) -> Seal {
        self.tail.as_ref().map(Tail::seal).unwrap_or_default()
    }
}

impl History {
    /// Archives what the log holds, and then moves it into the database's file. Says whether all that was asked for was done;
    /// what readers still need of the log stays in it for the next time.
    pub(crate) fn checkpoint(&self, how: How) -> Result<bool, StoreError> {
        let mut archive = self.archive();
        let failed = |error| StoreError::sqlite("checkpoint", &self.database, &error);
        let connections = match archive.connections.take() {
            Some(connections) => connections,
            None => Connections::open(&self.database).map_err(failed)?,
        };
        let outcome = self.archive_and_move(&mut archive, &connections, how);
        if outcome.is_ok() {
            // Else they are closed, in whatever state they are.
            archive.connections = Some(connections);
        }
        outcome
    }

    fn archive_and_move(
        &self,
        archive: &mut Archive,
        connections: &Connections,
        how: How,
    ) -> Result<bool, StoreError> {
        let failed = |error| StoreError::sqlite("checkpoint", &self.database, &error);
        // Reading the version begins the transaction without looking at the schema, whatever that holds.
        connections.pin.execute_batch("BEGIN; PRAGMA user_version").map_err(failed)?;
        let moved = self.archive_log(archive).and_then(|()| {
            super::step("d1 history: log archived");
            connections.checkpoint("PASSIVE").map_err(failed)
        });
        connections.pin.execute_batch("COMMIT").map_err(failed)?;
        let moved = moved?;
        super::step("d1 history: log moved");
        let mode = match how {
            How::Passive => return Ok(moved),
            How::Restart => "RESTART",
            How::Truncate => "TRUNCATE",
        };
        let emptied = connections.checkpoint(mode).map_err(failed)?;
        super::step("d1 history: log emptied");
        Ok(emptied)
    }

    /// Archives what the log holds: on return every commit made before the call is in a synced segment.
    pub(super) fn archive_now(&self) -> Result<(), StoreError> {
        self.archive_log(&mut self.archive())
    }

    /// Lets the next batch begin a segment, so that those before can be dropped whole.
    pub(super) fn roll(&self) {
        self.archive().is_rolling = true;
    }

    /// How the newest segment ends.
    pub(super) fn newest_seal(&self) -> Seal {
        self.archive().seal()
    }

    fn archive(&self) -> MutexGuard<'_, Archive> {
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn archive_log(&self, archive: &mut Archive) -> Result<(), StoreError> {
        // Before the log is read: what the writer told of until now, the log must hold.
        let (announced, announced_frames) = {
            let state = self.state();
            (state.announced, state.announced_frames)
        };
        let seal = archive.seal();
        let told = announced.saturating_sub(seal.last);
        let Some(log) = Log::open(&self.log)? else {
            return if told == 0 { Ok(()) } else { Err(self.gap(told)) };
        };
        let from = log.resume(seal.log);
        let found = log.survey(from, told)?;
        if told != 0 && found.asked_end != Some(announced_frames) {
            return Err(self.gap(told));
        }
        if found.commits == 0 {
            return Ok(());
        }
        // What is not durable must not be archived: a power failure could take it from the database alone.
        log.sync()?;
        super::step("d1 history: log synced");
        let appended = self.append(archive, &log, from, found);
        if appended.is_err()
            && let Some(tail) = &archive.tail
        {
            // The next batch would cut it off too, but until then it takes space of a disk that may be full.
            let _ = tail.cut();
        }
        appended
    }

    /// Appends the commits that a survey found to the newest segment, as one batch.
    fn append(
        &self,
        archive: &mut Archive,
        log: &Log,
        from: Position,
        found: Survey,
    ) -> Result<(), StoreError> {
        let before = archive.seal();
        let last = before.last + found.commits;
        let moments = {
            let mut state = self.state();
            // Commits that the writer has made and not told of yet.
            for sequence in state.announced + 1..=last {
                state.note(sequence, self.clock.unix_ms());
            }
            state.moments.clone()
        };
        let moment_ms = |sequence| moments.of(sequence).unwrap_or(before.last_ms);

        let tail = self.tail_for_a_batch(archive)?;
        let mut batch = tail.batch()?;
        let mut builder = Builder::new(log.page_bytes(), before.last + 1);
        let (mut frames, mut sequence) = (log.frames(from, found.end), before.last + 1);
        while let Some(frame) = frames.next()? {
            let commit = (frame.size_after != 0)
                .then(|| Commit { size: frame.size_after, moment_ms: moment_ms(sequence) });
            builder.push(frame.page, frame.image, commit);
            sequence += u64::from(commit.is_some());
            if builder.is_full() {
                batch.append(&mut builder)?;
            }
        }
        if sequence != last + 1 {
            return Err(corrupt(&self.log, "it changed while it was read".to_owned()));
        }
        batch.append(&mut builder)?;
        let page_bytes = u32::try_from(log.page_bytes()).expect("SQLite's pages have 64 KiB at most");
        let last_ms = moment_ms(last);
        batch.seal(Seal { page_bytes, last, last_ms, batch: 0, size: found.size, log: found.end })?;
        if before.last == tail.end().0 - 1 {
            sync_folder(&self.folder)?;
        }
        self.have_archived(last, tail.end());
        Ok(())
    }

    fn have_archived(&self, last: u64, end: (u64, u64)) {
        let mut state = self.state();
        state.archived = last;
        state.end = Some(end);
        state.moments.forget_through(last);
        let next = state.moments.of(last + 1).map(|moment_ms| (last + 1, moment_ms));
        if let Err(error) = state.notes.start_over(next) {
            tracing::debug!(%error, "The moments of archived commits stay noted");
        }
    }

    fn tail_for_a_batch<'a>(&self, archive: &'a mut Archive) -> Result<&'a mut Tail, StoreError> {
        let is_full = |tail: &Tail| self.limits.segment_bytes <= tail.end().1 || archive.is_rolling;
        let tail = match archive.tail.take() {
            // One that holds nothing yet serves as the next.
            Some(tail) if !is_full(&tail) || tail.end().0 == tail.seal().last + 1 => tail,
            full => {
                let opening = full.as_ref().map(Tail::seal).unwrap_or_default();
                archive.tail = full;
                Tail::create_segment(&self.folder, opening)?
            }
        };
        archive.is_rolling = false;
        Ok(archive.tail.insert(tail))
    }

    fn gap(&self, told: u64) -> StoreError {
        corrupt(&self.log, format!("the last {told} commits are not in it: somebody else has moved them"))
    }
}

impl Connections {
    fn open(database: &Path) -> store::rusqlite::Result<Self> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags_and_vfs(database, flags, store::VFS)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.busy_timeout(READERS_WAIT_MAX)?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            Ok::<_, store::rusqlite::Error>(connection)
        };
        Ok(Self { pin: open()?, mover: open()? })
    }

    /// Moves pages; says whether all that was asked for was done.
    fn checkpoint(&self, mode: &str) -> store::rusqlite::Result<bool> {
        self.mover.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            let (busy, log, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(busy == 0 && log == moved)
        })
    }
}

/// Opens the newest segment as a crash left it: what of its last batch did not reach the disk is cut off, and is in the log
/// still, which cannot have started over since.
pub(super) fn open_tail(folder: &Path, log: &Path) -> Result<Option<Tail>, StoreError> {
    create_folder(folder)?;
    let mut segments = Listing::read(folder)?.segments;
    while let Some(newest) = segments.pop() {
        let Some(tail) = Tail::open_segment(folder, newest)? else {
            let path = segment_path(folder, newest);
            fs::remove_file(&path).map_err(|error| StoreError::file("remove", &path, &error))?;
            continue;
        };
        let is_log_the_same = Log::open(log)?.is_some_and(|log| log.holds(tail.seal().log));
        if !is_log_the_same || tail.is_last_batch_whole() {
            return Ok(Some(tail));
        }
        return tail.without_last_batch();
    }
    Ok(None)
}
