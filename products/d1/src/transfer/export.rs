//! Exports and backups: a database as it was at one moment, written to a file of ours while others read and write it.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use model::DatabaseId;
use serde_json::json;
use store::{
    StoreError, fault,
    rusqlite::{self, Connection, backup::Backup},
};

use super::{DumpOptions, File, Secret, Status, Task, Transfers, dump};
use crate::{
    D1Error,
    model::Bookmark,
    store::{InUse, OpenDatabase, Store},
};

/// Pages copied between two looks whether to go on.
const PAGES_PER_STEP: i32 = 1_000;

/// Begins to write a database as SQL text. `url` makes the address at which it can be fetched.
pub(crate) async fn start(
    store: &Arc<Store>,
    id: DatabaseId,
    options: DumpOptions,
    url: impl FnOnce(&Secret) -> String + Send + 'static,
) -> Result<Task, D1Error> {
    let database = store.database(id).await?;
    let transfers = &store.transfers;
    let file = transfers.new_file()?;
    let task = {
        let mut state = transfers.state();
        if state.exports.get(&id).is_some_and(|task| !task.is_finished()) {
            return Err(D1Error::Exporting);
        }
        let bookmark = Bookmark { commit: database.commit(), database: id }.to_string();
        let task = Task::new(bookmark, transfers.expires_ms(), &transfers.stop);
        state.exports.insert(id, task.clone());
        task
    };
    let (store, running) = (Arc::clone(store), task.clone());
    store.tasks().clone().spawn_draining("d1-export", async move {
        let status = match export(file, database, &running, options).await {
            Ok(file) if !running.is_cancelled() => {
                let name = format!("{id}-{}.sql", running.bookmark);
                let secret = store.transfers.offer(id, file, name.clone());
                Status::Complete(json!({"filename": name, "signed_url": url(&secret)}))
            }
            Ok(_) => Status::Failed(D1Error::Stopped.tell()),
            Err(error) => Status::Failed(error.tell()),
        };
        running.finish(status);
    });
    Ok(task)
}

/// The export that a poll speaks of.
pub(crate) fn find(transfers: &Transfers, database: DatabaseId, bookmark: &str) -> Option<Task> {
    transfers.state().exports.get(&database).filter(|task| task.bookmark == bookmark).cloned()
}

async fn export(file: File, database: InUse, task: &Task, options: DumpOptions) -> Result<File, D1Error> {
    let task = task.clone();
    let write = move |connection: &mut Connection, guard: &crate::sql::Guard| {
        let failed = |error: &std::io::Error| D1Error::from(StoreError::file("write", &file.path, error));
        let mut out = BufWriter::new(fs::File::create_new(&file.path).map_err(|error| failed(&error))?);
        let mut rows = 0;
        let after_each = || {
            rows += 1;
            task.set_done(rows);
            if task.is_cancelled() { Err(D1Error::Stopped) } else { Ok(()) }
        };
        let written = guard.ours(|| dump::dump(connection, &options, &mut out, after_each));
        written.map_err(|error| match error {
            dump::DumpError::D1(error) => error,
            dump::DumpError::Read(error) => {
                let database = Path::new(connection.path().unwrap_or_default());
                StoreError::sqlite("read", database, &error).into()
            }
            dump::DumpError::Write(error) => failed(&error),
        })?;
        out.flush().map_err(|error| failed(&error))?;
        fault::point("d1: export written");
        drop(out);
        Ok(file)
    };
    OpenDatabase::read_alone(database, write).await
}

/// A plain SQLite file of the database as it is now; it is removed with the result.
pub(crate) async fn backup(store: &Store, id: DatabaseId) -> Result<File, D1Error> {
    let database = store.database(id).await?;
    let file = store.transfers.new_file()?;
    let stop = store.transfers.stop.clone();
    let copy = move |connection: &mut Connection, _guard: &crate::sql::Guard| {
        let failed = |error: rusqlite::Error| D1Error::from(StoreError::sqlite("write", &file.path, &error));
        let mut target = Connection::open(&file.path).map_err(failed)?;
        {
            let backup = Backup::new(connection, &mut target).map_err(failed)?;
            loop {
                match backup.step(PAGES_PER_STEP).map_err(failed)? {
                    rusqlite::backup::StepResult::Done => break,
                    rusqlite::backup::StepResult::More if stop.is_cancelled() => {
                        return Err(StoreError::Closed.into());
                    }
                    rusqlite::backup::StepResult::More => {}
                    // It sees one state and has its target for itself: nobody is in its way for long.
                    _ => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }
        // The copy says that it has a log beside it; without one it is whole in itself.
        target.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
        target.close().map_err(|(_, error)| failed(error))?;
        Ok(file)
    };
    OpenDatabase::read_alone(database, copy).await
}

/// Opens a file of ours for reading; says its length too.
pub(crate) async fn open(path: &Path) -> Result<(tokio::fs::File, u64), StoreError> {
    let failed = |error| StoreError::file("read", path, &error);
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let bytes = file.metadata().await.map_err(failed)?.len();
    Ok((file, bytes))
}
