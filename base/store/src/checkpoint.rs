//! Moving committed pages from the log into the database file, on a thread and connection of its own, so that a commit
//! never waits for it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;

use crate::StoreError;

/// Log size at which the background begins to move pages: 4 MiB of the usual 4 KiB pages, SQLite's own default.
const WAL_PAGES_LOW: u32 = 1_000;

/// Log size at which the writer itself moves pages and starts the log over: under steady writing the background alone
/// never catches the log's end. 64 MiB.
pub(crate) const WAL_PAGES_HIGH: u32 = 16_384;

/// The background thread; dropping it ends and awaits it.
pub(crate) struct Checkpointer {
    /// Pages in the log when the thread was last woken.
    woken_at: u32,
    /// SQLite refuses a second checkpoint at the same time; the backstop waits for this one instead.
    turn: Arc<Mutex<()>>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(crate) fn start(connection: Connection, file: Arc<Path>) -> Result<Self, StoreError> {
        // One waiting wake-up is enough: it covers all that came before it.
        let (wake, woken) = sync_channel(1);
        let turn = Arc::new(Mutex::new(()));
        let (path, its_turn) = (Arc::clone(&file), Arc::clone(&turn));
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run_when_woken(&connection, &path, &its_turn, &woken))
            .map_err(|error| StoreError::file("start a thread for", &file, &error))?;
        Ok(Self { woken_at: 0, turn, wake: Some(wake), thread: Some(thread) })
    }

    /// Learns how long the log is after a commit.
    pub(crate) fn notice(&mut self, wal_pages: u32) {
        if wal_pages < self.woken_at {
            // The log started over.
            self.woken_at = 0;
        }
        if wal_pages - self.woken_at < WAL_PAGES_LOW {
            return;
        }
        self.woken_at = wal_pages;
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }

    /// Moves all pages and starts the log over, on the caller's thread and connection. Says whether readers let it.
    pub(crate) fn run_now(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        run(connection, "RESTART")
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run_when_woken(connection: &Connection, file: &Path, turn: &Mutex<()>, woken: &Receiver<()>) {
    let mut is_failing = false;
    while woken.recv().is_ok() {
        let outcome = {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            run(connection, "PASSIVE")
        };
        if let (Err(error), false) = (&outcome, is_failing) {
            tracing::warn!(file = %file.display(), %error, "Checkpoints fail; the log grows until they succeed again");
        }
        is_failing = outcome.is_err();
    }
}

/// Runs one checkpoint; says whether it got everything done it was asked to.
pub(crate) fn run(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
