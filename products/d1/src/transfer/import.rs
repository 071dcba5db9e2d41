//! Imports: `wrangler d1 execute --file`. The file's statements are one transaction, which is on disk before anybody is
//! told that it happened.

use std::{io::BufReader, sync::Arc};

use model::DatabaseId;
use serde_json::json;
use store::StoreError;

use super::{Secret, Status, Task, Transfers, Upload};
use crate::{
    D1Error,
    error::SqlError,
    model::{Bookmark, IMPORT_DURATION_MAX, Meta, Timings},
    sql::{Caller, SERVED_BY},
    store::{Imported, InUse, Store},
};

/// What a client that announces a file is told.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is to be uploaded.
    Upload { name: String, secret: Secret },
    /// It is here already, and being imported.
    Running(Task),
}

/// A file that is to be imported, by its MD5 in hex.
pub(crate) async fn init(store: &Arc<Store>, database: DatabaseId, etag: &str) -> Result<Begun, D1Error> {
    let etag = parse_etag(etag)?;
    if let Some(upload) = store.transfers.take_upload(database, &etag) {
        return Ok(Begun::Running(run(store, database, upload).await?));
    }
    let secret = store.transfers.expect_upload(database, &etag)?;
    Ok(Begun::Upload { name: Upload::name(database, &etag), secret })
}

/// Begins to import a file that was uploaded.
pub(crate) async fn ingest(
    store: &Arc<Store>,
    database: DatabaseId,
    etag: &str,
    name: &str,
) -> Result<Task, D1Error> {
    let etag = parse_etag(etag)?;
    let missing = || D1Error::UploadMissing(name.to_owned());
    if name != Upload::name(database, &etag) {
        return Err(missing());
    }
    let upload = store.transfers.take_upload(database, &etag).ok_or_else(missing)?;
    run(store, database, upload).await
}

/// The import that a poll speaks of.
pub(crate) fn find(transfers: &Transfers, database: DatabaseId, bookmark: &str) -> Option<Task> {
    transfers.state().imports.get(&database).filter(|task| task.bookmark == bookmark).cloned()
}

fn parse_etag(etag: &str) -> Result<String, D1Error> {
    let plain = etag.trim_matches('"').to_ascii_lowercase();
    let is_md5 = plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_md5 { Ok(plain) } else { Err(D1Error::EtagInvalid(etag.chars().take(100).collect())) }
}

/// Imports in the background, whether the caller waits for it or not.
async fn run(store: &Arc<Store>, id: DatabaseId, upload: Upload) -> Result<Task, D1Error> {
    let database = store.database(id).await?;
    let transfers = &store.transfers;
    let task = {
        let mut state = transfers.state();
        if state.imports.get(&id).is_some_and(|task| !task.is_finished()) {
            return Err(SqlError::Importing.into());
        }
        let bookmark = Bookmark { commit: database.commit(), database: id }.to_string();
        let task = Task::new(bookmark, transfers.expires_ms(), &transfers.stop);
        state.imports.insert(id, task.clone());
        task
    };
    let (store, running) = (Arc::clone(store), task.clone());
    store.tasks().clone().spawn_draining("d1-import", async move {
        let status = match import(&store, &database, &running, upload).await {
            Ok((imported, meta)) => {
                store.usage.count_import(id, &imported, &meta);
                let bookmark = Bookmark { commit: database.commit(), database: id }.to_string();
                let statements = imported.sums.statements;
                Status::Complete(json!({"num_queries": statements, "final_bookmark": bookmark, "meta": meta}))
            }
            Err(error) => Status::Failed(error.tell()),
        };
        drop(database);
        running.finish(status);
    });
    Ok(task)
}

async fn import(
    store: &Store,
    database: &InUse,
    task: &Task,
    upload: Upload,
) -> Result<(Imported, Meta), D1Error> {
    let began = store.clock().monotonic();
    let working = task.clone();
    let caller = Caller::default();
    let waiting = caller.waiting();
    let write = database.write_alone(move |writer| {
        let path = &upload.file.path;
        let file = std::fs::File::open(path).map_err(|error| StoreError::file("open", path, &error))?;
        let after_each = |sums: &crate::sql::Sums| {
            working.set_done(sums.statements);
            if working.is_cancelled() { Err(D1Error::Stopped) } else { Ok(()) }
        };
        let imported = writer.import(BufReader::new(file), &caller, after_each);
        drop(upload);
        imported
    });
    tokio::pin!(write);
    let written = tokio::select! {
        written = &mut write => written,
        () = task.cancelled() => {
            drop(waiting);
            write.await
        }
    };
    let imported = written.map_err(|error| match error {
        _ if task.is_cancelled() => D1Error::Stopped,
        D1Error::ImportStatement { error: SqlError::Timeout, .. } => {
            let text =
                format!("its statements took longer than {} minutes", IMPORT_DURATION_MAX.as_secs() / 60);
            D1Error::ImportText(text)
        }
        error => error,
    })?;
    let duration = began.elapsed().as_secs_f64() * 1000.0;
    let meta = Meta {
        served_by: SERVED_BY,
        served_by_primary: true,
        duration,
        timings: Timings { sql_duration_ms: duration },
        changes: imported.sums.changes,
        last_row_id: imported.last_row_id,
        changed_db: 0 < imported.sums.rows_written,
        size_after: imported.size,
        rows_read: imported.sums.rows_read,
        rows_written: imported.sums.rows_written,
        total_attempts: 1,
    };
    Ok((imported, meta))
}
