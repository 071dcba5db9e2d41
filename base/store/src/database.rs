//! One SQLite file as its room sees it: write, read, close. The writer's thread, the readers and the checkpoints live in
//! files of their own.

use std::{
    fmt,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    panic::resume_unwind,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::{mpsc, watch};

use crate::{
    Migration, StoreError,
    checkpoint::Checkpointer,
    error::Failure,
    files::{create_folder, sync_folder},
    migration,
    readers::{Readers, STATEMENTS_CACHED_MAX},
    writer::{BUSY_TIMEOUT, JOBS_WAITING_MAX, Message, Work, Writer},
};

/// What rooms keep is for the server alone.
const DATABASE_MODE: u32 = 0o600;

/// SQLite's way to the file by which it belongs to this process alone: what its connections tell each other stays in our
/// memory, and no read or commit asks the kernel for locks. Other processes are told that it is locked.
pub const VFS: &str = "unix-excl";

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Read connections kept open; also how many slow reads run at once.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 4 }
    }
}

/// A SQLite file; cheap to clone. When the last clone is dropped, the writer finishes what waits and ends.
#[derive(Debug, Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    file: Arc<Path>,
    jobs: mpsc::Sender<Message>,
    readers: Readers,
    ended: watch::Receiver<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens (and creates) the file and brings it to the newest migration.
    pub fn open(path: &Path, migrations: &[Migration], options: Options) -> Result<Self, StoreError> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        create_folder(folder)?;
        let mut connection = open_for_writing(path)?;
        migration::apply(&mut connection, path, migrations)?;
        sync_folder(folder)?;

        let file: Arc<Path> = path.into();
        let wal_pages = count_wal_pages(&mut connection)
            .map_err(|error| StoreError::sqlite("watch the log of", path, &error))?;
        let checkpointer = Checkpointer::start(open_for_writing(path)?, Arc::clone(&file))?;
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let (ends, ended) = watch::channel(());
        let writer = Writer {
            connection,
            file: Arc::clone(&file),
            jobs: waiting,
            wal_pages,
            checkpointer,
            ended: ends,
        };
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::file("start a thread for", path, &error))?;
        let readers = Readers::new(Arc::clone(&file), options.readers);
        Ok(Self { inner: Arc::new(Inner { file, jobs, readers, ended }) })
    }

    /// Runs `work` in the writer's transaction and returns once its commit is on disk. An error undoes this work alone.
    ///
    /// Once the returned future has been polled, the work may happen even if the future is dropped.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, answer) = Work::new(work);
        if self.inner.jobs.send(Message::Job(Box::new(work))).await.is_err() {
            return Err(StoreError::Closed.into());
        }
        match answer.await {
            Ok(outcome) => outcome.unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => Err(StoreError::Closed.into()),
        }
    }

    /// Runs `work` on a read connection, on a thread that may block: for lists and large values.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let Ok(permit) = Arc::clone(&inner.readers.permits).acquire_owned().await else {
            return Err(StoreError::Closed.into());
        };
        let reading = tokio::task::spawn_blocking(move || {
            let result = inner.readers.run(work);
            drop(permit);
            result
        });
        reading.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(StoreError::Closed.into()),
        })
    }

    /// Runs `work` on a read connection on the calling thread: for point reads by key that take microseconds.
    pub fn read_now<T, E>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.inner.readers.run(work)
    }

    /// Refuses further work, finishes what waits, moves the log into the file and closes it. All clones are closed.
    pub async fn close(&self) {
        let _ = self.inner.jobs.send(Message::Close).await;
        self.inner.readers.close();
        // The writer never sends: the wait ends when it drops its side.
        let _ = self.inner.ended.clone().changed().await;
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite("open", path, &error);
    // SQLite would make the file as open as the umask lets it, and its log like it. Why it cannot be made, SQLite says next.
    drop(OpenOptions::new().write(true).create_new(true).mode(DATABASE_MODE).open(path));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, VFS).map_err(failed)?;
    let refused = |cause: &str| Failure { tried: "open", file: path.to_owned(), cause: cause.to_owned() };
    if connection.is_readonly("main").map_err(failed)? {
        return Err(StoreError::ReadOnly(refused("no permission to write to it")));
    }
    let mode = configure_for_writing(&connection).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Sqlite(refused("it cannot have a log beside it: use a local disk")));
    }
    Ok(connection)
}

/// Sets what a connection does at each commit; returns the journal mode that SQLite agreed to.
fn configure_for_writing(connection: &Connection) -> rusqlite::Result<String> {
    configure(connection)?;
    let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(mode)
}

/// Sets what every connection has.
pub(crate) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    // Plans that do not depend on the values bound: a statement whose plan does is compiled anew for each binding, and our
    // statements are written for one plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Counts the log's pages at each commit, as SQLite reports them.
fn count_wal_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        counter.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}
