//! How much space statements may use beside the database: SQLite sorts and groups what is large in temporary files, which
//! are bounded here, as is what all of them hold at once. It also notes when a disk took no more, since SQLite has one code
//! for that and for a database that is as large as it may be. All else is left to [`store::VFS`].

use std::{
    cell::Cell,
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use store::rusqlite::{
    self,
    ffi::{self, sqlite3_file as File, sqlite3_io_methods as Methods, sqlite3_vfs as Vfs},
};

use crate::model::{REQUEST_TEMPORARY_BYTES_MAX, TEMPORARY_BYTES_MAX};

/// What connections name to have their files watched here.
pub(super) const NAME: &CStr = c"d1";

/// Files of statements that are under way.
const TEMPORARY: c_int = ffi::SQLITE_OPEN_TEMP_DB
    | ffi::SQLITE_OPEN_TRANSIENT_DB
    | ffi::SQLITE_OPEN_TEMP_JOURNAL
    | ffi::SQLITE_OPEN_SUBJOURNAL;

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The temporary files would have become too large.
    Limit,
    /// The disk is full where the database's log is.
    LogDisk,
    /// The disk is full where temporary files are.
    TemporaryDisk,
}

/// What the statements of one request use: a request is run by one thread from its beginning to its end.
#[derive(Clone, Copy)]
struct Use {
    held: u64,
    held_max: u64,
    refusal: Option<Refusal>,
}

thread_local! {
    static USE: Cell<Use> =
        const { Cell::new(Use { held: 0, held_max: REQUEST_TEMPORARY_BYTES_MAX, refusal: None }) };
}

/// Bytes in temporary files of all threads.
static HELD: AtomicU64 = AtomicU64::new(0);

/// From now on the statements of this thread may hold so many bytes in temporary files.
pub(super) fn begin(held_max: u64) {
    USE.set(Use { held: 0, held_max, refusal: None });
}

/// Why a write of this thread was refused since it began.
pub(super) fn refusal() -> Option<Refusal> {
    USE.get().refusal
}

fn refuse(refusal: Refusal) {
    USE.set(Use { refusal: Some(refusal), ..USE.get() });
}

/// Whether this thread's files may grow by so many bytes.
fn may_grow(bytes: u64) -> bool {
    let Use { held, held_max, .. } = USE.get();
    held.saturating_add(bytes) <= held_max
        && HELD.load(Ordering::Relaxed).saturating_add(bytes) <= TEMPORARY_BYTES_MAX
}

fn count(before: u64, after: u64) {
    let mine = USE.get();
    if before <= after {
        HELD.fetch_add(after - before, Ordering::Relaxed);
        USE.set(Use { held: mine.held + (after - before), ..mine });
    } else {
        HELD.fetch_sub(before - after, Ordering::Relaxed);
        USE.set(Use { held: mine.held.saturating_sub(before - after), ..mine });
    }
}

/// [`store::VFS`]'s own, and what we give out in place of its files' methods.
struct Ways {
    open: unsafe extern "C" fn(*mut Vfs, *const c_char, *mut File, c_int, *mut c_int) -> c_int,
    /// Known once a first file was opened: all that we watch have the same.
    watched: OnceLock<Watched>,
}

struct Watched {
    close: unsafe extern "C" fn(*mut File) -> c_int,
    write: unsafe extern "C" fn(*mut File, *const c_void, c_int, i64) -> c_int,
    truncate: unsafe extern "C" fn(*mut File, i64) -> c_int,
    size: unsafe extern "C" fn(*mut File, *mut i64) -> c_int,
    temporary: Methods,
    log: Methods,
}

static WAYS: OnceLock<Ways> = OnceLock::new();

/// Makes [`NAME`] known to SQLite.
#[expect(unsafe_code, reason = "the crate has no safe way to SQLite's files")]
pub(super) fn register() -> rusqlite::Result<()> {
    static DONE: OnceLock<c_int> = OnceLock::new();
    let code = *DONE.get_or_init(|| {
        let Ok(name) = CString::new(store::VFS) else { return ffi::SQLITE_MISUSE };
        // SAFETY: SQLite's own VFS is there for the process's lifetime and never changed, so it may be read and copied. The
        // copy is leaked, as SQLite keeps it for ever. All of its functions but `open` look at no field of it.
        unsafe {
            let system = ffi::sqlite3_vfs_find(name.as_ptr());
            let Some(open) = system.as_ref().and_then(|system| system.xOpen) else {
                return ffi::SQLITE_ERROR;
            };
            if WAYS.set(Ways { open, watched: OnceLock::new() }).is_err() {
                return ffi::SQLITE_MISUSE;
            }
            let mut vfs = *system;
            vfs.zName = NAME.as_ptr();
            vfs.pNext = ptr::null_mut();
            vfs.pAppData = system.cast();
            vfs.xOpen = Some(open_watched);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0)
        }
    });
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// Opens any file, and has those watched that are temporary or logs.
#[expect(unsafe_code, reason = "SQLite calls it")]
unsafe extern "C" fn open_watched(
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut File,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(ways) = WAYS.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite gives our VFS, which holds a pointer to its own, and what the latter's function takes. After success `file`
    // has methods, which live as long as the process does; ours, in their place, do so too.
    unsafe {
        let code = (ways.open)((*vfs).pAppData.cast(), name, file, flags, out_flags);
        if code != ffi::SQLITE_OK || flags & (TEMPORARY | ffi::SQLITE_OPEN_WAL) == 0 {
            return code;
        }
        let Some(methods) = (*file).pMethods.as_ref() else { return code };
        let Some(watched) = ways.watch(methods) else { return ffi::SQLITE_CANTOPEN };
        let is_temporary = flags & TEMPORARY != 0;
        (*file).pMethods = if is_temporary { &raw const watched.temporary } else { &raw const watched.log };
        code
    }
}

impl Ways {
    fn watch(&self, methods: &Methods) -> Option<&Watched> {
        let watched = Watched {
            close: methods.xClose?,
            write: methods.xWrite?,
            truncate: methods.xTruncate?,
            size: methods.xFileSize?,
            temporary: Methods {
                // Without the mapping of files into memory, which would grow them in other ways.
                iVersion: 2,
                xClose: Some(close_temporary),
                xWrite: Some(write_temporary),
                xTruncate: Some(truncate_temporary),
                ..*methods
            },
            log: Methods { xWrite: Some(write_log), ..*methods },
        };
        let first = self.watched.get_or_init(|| watched);
        // Files of one kind have one set of methods in SQLite's own way to files.
        ptr::fn_addr_eq(first.close, methods.xClose?).then_some(first)
    }
}

fn watched() -> Option<&'static Watched> {
    WAYS.get().and_then(|ways| ways.watched.get())
}

impl Watched {
    /// The file's bytes.
    #[expect(unsafe_code, reason = "it asks SQLite")]
    unsafe fn bytes(&self, file: *mut File) -> u64 {
        let mut bytes = 0;
        // SAFETY: the caller's `file` is open, and the function is its own.
        let code = unsafe { (self.size)(file, &raw mut bytes) };
        if code == ffi::SQLITE_OK { u64::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

#[expect(unsafe_code, reason = "SQLite calls it")]
unsafe extern "C" fn write_temporary(
    file: *mut File,
    data: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    let Some(watched) = watched() else { return ffi::SQLITE_IOERR };
    // SAFETY: SQLite calls this for an open file of ours with what the original takes, which is given to that.
    unsafe {
        let before = watched.bytes(file);
        let end = u64::try_from(offset.saturating_add(i64::from(amount))).unwrap_or(u64::MAX);
        if !may_grow(end.saturating_sub(before)) {
            refuse(Refusal::Limit);
            return ffi::SQLITE_FULL;
        }
        let code = (watched.write)(file, data, amount, offset);
        if code == ffi::SQLITE_OK {
            count(before, before.max(end));
        } else {
            count(before, watched.bytes(file));
            note(code, Refusal::TemporaryDisk);
        }
        code
    }
}

#[expect(unsafe_code, reason = "SQLite calls it")]
unsafe extern "C" fn truncate_temporary(file: *mut File, size: i64) -> c_int {
    let Some(watched) = watched() else { return ffi::SQLITE_IOERR };
    // SAFETY: as in `write_temporary`.
    unsafe {
        let before = watched.bytes(file);
        let code = (watched.truncate)(file, size);
        count(before, watched.bytes(file));
        code
    }
}

#[expect(unsafe_code, reason = "SQLite calls it")]
unsafe extern "C" fn close_temporary(file: *mut File) -> c_int {
    let Some(watched) = watched() else { return ffi::SQLITE_IOERR };
    // SAFETY: as in `write_temporary`.
    unsafe {
        count(watched.bytes(file), 0);
        (watched.close)(file)
    }
}

#[expect(unsafe_code, reason = "SQLite calls it")]
unsafe extern "C" fn write_log(file: *mut File, data: *const c_void, amount: c_int, offset: i64) -> c_int {
    let Some(watched) = watched() else { return ffi::SQLITE_IOERR };
    // SAFETY: as in `write_temporary`.
    let code = unsafe { (watched.write)(file, data, amount, offset) };
    note(code, Refusal::LogDisk);
    code
}

fn note(code: c_int, refusal: Refusal) {
    if code == ffi::SQLITE_FULL {
        refuse(refusal);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tasks::Clock;

    use super::USE;
    use crate::{
        error::SqlError,
        sql::{Access, Allowance, Caller, open},
    };

    #[test]
    fn a_statement_that_sorts_more_than_its_space_is_refused_and_gives_all_of_it_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("db.sqlite");
        let (connection, guard) = open(&file, Access::Write, Clock::system()).expect("a database");
        connection.execute_batch("CREATE TABLE t (a)").expect("a table");
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) SELECT randomblob(100000) AS a FROM n";
        let much = [
            format!("SELECT count(*) FROM (SELECT DISTINCT a FROM ({rows}))"),
            format!("SELECT length(a) FROM ({rows}) ORDER BY a LIMIT 1 OFFSET 30"),
            format!("INSERT INTO t SELECT a FROM ({rows}) GROUP BY a"),
            format!("WITH m AS MATERIALIZED ({rows}) SELECT count(*) FROM m AS a, m AS b WHERE a.a < b.a"),
        ];
        for (number, sql) in much.iter().enumerate() {
            let run = |megabytes: u64| {
                let allowance =
                    Allowance { duration: Duration::from_secs(30), temporary_bytes: megabytes * 1_000_000 };
                guard.begin(allowance, false, &Caller::default());
                let mut statement = connection.prepare(sql).expect("valid SQL");
                let mut rows = statement.raw_query();
                while rows.next().map_err(|error| guard.explain(error))?.is_some() {}
                Ok::<_, SqlError>(())
            };
            let refused = run(2);
            assert!(matches!(refused, Err(SqlError::TooMuchTemporary)), "{number}: {refused:?}");
            assert_eq!(USE.get().held, 0, "{number}");
            let done = run(20);
            assert!(done.is_ok(), "{number}: {done:?}");
            assert_eq!(USE.get().held, 0, "{number}");
        }
    }
}
