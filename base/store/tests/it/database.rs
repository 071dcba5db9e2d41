//! One file: groups, readers, migrations, errors, closing.

use std::{panic::AssertUnwindSafe, path::Path, sync::mpsc};

use futures_util::{FutureExt, future::join_all};
use store::{Database, Migration, Options, StoreError, rusqlite};

use crate::{MIGRATIONS, ids, open, put};

/// Keeps the writer busy until the sender is used or dropped, so that what is written meanwhile forms one group.
async fn hold_writer(database: &Database) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, held) = mpsc::channel();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let database = database.clone();
    #[expect(clippy::disallowed_methods, reason = "a test's helper that the test itself awaits")]
    let holder = tokio::spawn(async move {
        let work = move |_: &rusqlite::Connection| -> Result<(), StoreError> {
            let _ = started.send(());
            let _ = held.recv();
            Ok(())
        };
        database.write(work).await.unwrap();
    });
    has_started.await.unwrap();
    (release, holder)
}

/// Pages in the log: each commit appends every page that it changed.
fn count_wal_pages(path: &Path) -> u64 {
    std::fs::metadata(path.with_extension("sqlite-wal")).unwrap().len() / 4096
}

#[tokio::test]
async fn waiting_writes_share_one_commit_and_a_failing_one_undoes_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let database = open(&path);
    let pages_before = count_wal_pages(&path);

    let (release, holder) = hold_writer(&database).await;
    let good = join_all((1..=50).map(|id| put(&database, id)));
    let failing = database.write(|connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO item (id) VALUES (100)", [])?;
        connection.execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    });
    let panicking = AssertUnwindSafe(database.write(|connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO item (id) VALUES (101)", [])?;
        panic!("a room's bug");
    }))
    .catch_unwind();
    let last = put(&database, 51);
    let queued = async { tokio::join!(good, failing, panicking, last) };
    let releasing = async {
        // By now the futures before this one were polled once, and their work waits in the queue.
        release.send(()).unwrap();
    };
    let ((good, failing, panicking, last), ()) = tokio::join!(queued, releasing);
    holder.await.unwrap();

    assert!(good.iter().all(Result::is_ok));
    let failure = failing.unwrap_err().to_string();
    assert!(failure.contains("a.sqlite") && failure.contains("no such table: nowhere"), "{failure}");
    assert!(panicking.is_err(), "a panic belongs to the caller");
    last.unwrap();
    assert_eq!(ids(&database), (1..=51).collect::<Vec<_>>());
    // Fifty rows fit one page: fifty commits would have appended it fifty times.
    let pages = count_wal_pages(&path) - pages_before;
    assert!(pages <= 4, "{pages} pages");
}

#[tokio::test]
async fn a_read_sees_every_write_that_was_answered_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("a.sqlite"));
    for id in 0..100 {
        put(&database, id).await.unwrap();
        let select = move |connection: &rusqlite::Connection| -> Result<i64, StoreError> {
            Ok(connection.query_row("SELECT max(id) FROM item", [], |row| row.get(0))?)
        };
        assert_eq!(database.read_now(select).unwrap(), id);
        assert_eq!(database.read(select).await.unwrap(), id);
    }
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("a.sqlite"));
    let outcome = database.read_now(|connection| Ok(connection.execute("DELETE FROM item", [])?));
    assert!(matches!(outcome, Err(StoreError::ReadOnly(_))), "{outcome:?}");
}

#[tokio::test]
async fn many_reads_at_once_wait_for_each_other_and_all_end() {
    let folder = tempfile::tempdir().unwrap();
    let database =
        Database::open(&folder.path().join("a.sqlite"), MIGRATIONS, Options { readers: 2 }).unwrap();
    put(&database, 1).await.unwrap();
    let reads = (0..50).map(|_| {
        database.read(|connection| -> Result<i64, StoreError> {
            Ok(connection.query_row("SELECT count(*) FROM item", [], |row| row.get(0))?)
        })
    });
    assert!(join_all(reads).await.into_iter().all(|count| count.unwrap() == 1));
}

#[tokio::test]
async fn a_file_made_by_a_newer_version_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let newer = [MIGRATIONS[0], Migration { name: "2027-01-01-more", sql: "CREATE TABLE more (a) " }];
    Database::open(&path, &newer, Options::default()).unwrap().close().await;
    let error = Database::open(&path, MIGRATIONS, Options::default()).unwrap_err();
    assert!(matches!(error, StoreError::Newer(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("2027-01-01-more") && text.contains("a.sqlite"), "{text}");
    Database::open(&path, &newer, Options::default()).unwrap();
}

#[tokio::test]
async fn migrations_are_applied_once_and_all_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let broken = [MIGRATIONS[0], Migration { name: "2027-01-01-broken", sql: "CREATE TABLE item (id)" }];
    let error = Database::open(&path, &broken, Options::default()).unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    let database = open(&path);
    put(&database, 1).await.unwrap();
    database.close().await;
    assert_eq!(ids(&open(&path)), [1]);
}

#[tokio::test]
async fn a_full_disk_fails_the_group_clearly_and_heals_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("a.sqlite"));
    put(&database, 1).await.unwrap();
    // A limit on pages is answered by SQLite exactly as a full disk is, the lost transaction included.
    limit_pages(&database, 8).await;
    let (release, holder) = hold_writer(&database).await;
    let small = put(&database, 2);
    let large = database.write(|connection| -> Result<(), StoreError> {
        connection.execute("INSERT INTO item VALUES (3, zeroblob(1000000))", [])?;
        Ok(())
    });
    let (small, large, ()) = tokio::join!(small, large, async { release.send(()).unwrap() });
    let _ = holder.await;
    assert!(matches!(large, Err(StoreError::Full(_))), "{large:?}");
    // The small one was answered truthfully, whichever it was.
    let expected = if small.is_ok() { vec![1, 2] } else { vec![1] };
    assert_eq!(ids(&database), expected);

    limit_pages(&database, 1_000_000).await;
    put(&database, 4).await.unwrap();
    assert!(ids(&database).contains(&4));
}

async fn limit_pages(database: &Database, pages: i64) {
    database
        .write(move |connection| -> Result<i64, StoreError> {
            let sql = format!("PRAGMA max_page_count = {pages}");
            Ok(connection.query_row(&sql, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_read_only_file_says_so_and_heals_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("a.sqlite"));
    // The tests may run as root, whom no file mode stops; SQLite's own switch gives the same answer.
    let refused = database.write(|connection| -> Result<(), StoreError> {
        connection.pragma_update(None, "query_only", true)?;
        let inserted = connection.execute("INSERT INTO item (id) VALUES (1)", []);
        connection.pragma_update(None, "query_only", false)?;
        inserted?;
        Ok(())
    });
    let error = refused.await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    assert!(error.to_string().contains("a.sqlite"), "{error}");
    put(&database, 2).await.unwrap();
    assert_eq!(ids(&database), [2]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    std::fs::write(&path, "not a database, but long enough to be looked at".repeat(50)).unwrap();
    let error = Database::open(&path, MIGRATIONS, Options::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn the_log_stays_bounded_under_steady_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let database = open(&path);
    // 160 MiB in 1 MiB values, all in the same row.
    for _ in 0..160 {
        database
            .write(|connection| -> Result<(), StoreError> {
                connection.execute("INSERT OR REPLACE INTO item VALUES (1, zeroblob(1048576))", [])?;
                Ok(())
            })
            .await
            .unwrap();
    }
    let log_bytes = std::fs::metadata(folder.path().join("a.sqlite-wal")).unwrap().len();
    assert!(log_bytes < 80 << 20, "{log_bytes}");
    database.close().await;
    assert!(!folder.path().join("a.sqlite-wal").exists(), "the last to close moves the log into the file");
}

#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let database = open(&path);
    let (release, holder) = hold_writer(&database).await;
    let (waiting, (), ()) =
        tokio::join!(put(&database, 1), database.close(), async { release.send(()).unwrap() });
    waiting.unwrap();
    holder.await.unwrap();
    assert!(matches!(put(&database, 2).await, Err(StoreError::Closed)));
    let read = database.read_now(|_| Ok(()));
    assert!(matches!(read, Err(StoreError::Closed)));
    assert_eq!(ids(&open(&path)), [1]);
}
