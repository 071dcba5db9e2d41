//! Which databases there are: rows of `meta.sqlite`. A database exists when its row does; its files come with its first use
//! and go after its row.

use model::DatabaseId;
use store::{
    Migration, StoreError,
    rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params},
};

use super::Store;
use crate::{
    D1Error,
    model::{DATABASES_MAX, Database, Name},
};

/// The room's tables in `meta.sqlite`.
pub const MIGRATIONS: &[Migration] =
    &[Migration { name: "2026-11-27-d1", sql: include_str!("../../migrations/2026-11-27-init.sql") }];

/// What a new database is to be.
#[derive(Debug)]
pub(crate) struct NewDatabase {
    pub(crate) name: Name,
    pub(crate) location_hint: Option<String>,
    pub(crate) jurisdiction: Option<String>,
}

impl Store {
    pub(crate) async fn database_create(&self, new: NewDatabase) -> Result<Database, D1Error> {
        let NewDatabase { name, location_hint, jurisdiction } = new;
        let id = DatabaseId::random();
        let name = name.as_str().to_owned();
        let database = Database { id, name, created_ms: self.clock.unix_ms(), location_hint, jurisdiction };
        let row = database.clone();
        let insert = move |connection: &Connection| {
            let count: usize =
                connection.query_row("SELECT count(*) FROM d1_database", [], |row| row.get(0))?;
            if DATABASES_MAX <= count {
                return Err(D1Error::DatabasesTooMany);
            }
            let sql = "INSERT INTO d1_database (id, name, created_ms, location_hint, jurisdiction) VALUES (?1, ?2, ?3, ?4, ?5)";
            let values =
                params![row.id.to_string(), row.name, row.created_ms, row.location_hint, row.jurisdiction];
            connection.execute(sql, values).map(drop).map_err(|error| match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) => D1Error::NameExists(row.name.clone()),
                _ => StoreError::from(error).into(),
            })
        };
        self.meta.write(insert).await?;
        Ok(database)
    }

    pub(crate) fn database_get(&self, id: DatabaseId) -> Result<Option<Database>, StoreError> {
        self.database_where("id = ?1", &id.to_string())
    }

    pub(crate) fn database_by_name(&self, name: &str) -> Result<Option<Database>, StoreError> {
        self.database_where("name = ?1", name)
    }

    /// Some of all databases, or of those whose name contains a text, the newest first, as Cloudflare lists them; and how many there
    /// are altogether.
    pub(crate) async fn database_list(
        &self,
        name_contains: Option<String>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Database>, usize), StoreError> {
        // A page far behind the last one is empty.
        let (offset, limit) =
            (i64::try_from(offset).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        let select = move |connection: &Connection| {
            let total = "SELECT count(*) FROM d1_database WHERE ?1 IS NULL OR instr(name, ?1)";
            let total = connection.prepare_cached(total)?.query_row([&name_contains], |row| row.get(0))?;
            let sql = "SELECT id, name, created_ms, location_hint, jurisdiction FROM d1_database
                       WHERE ?1 IS NULL OR instr(name, ?1) ORDER BY created_ms DESC, name LIMIT ?2 OFFSET ?3";
            let mut select = connection.prepare_cached(sql)?;
            let rows = select.query_map(params![name_contains, limit, offset], read)?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, StoreError>((rows.into_iter().flatten().collect(), total))
        };
        self.meta.read(select).await
    }

    /// Forgets a database and removes its files, even if the caller hangs up in between.
    pub(crate) async fn database_delete(self: &std::sync::Arc<Self>, id: DatabaseId) -> Result<(), D1Error> {
        let store = std::sync::Arc::clone(self);
        let delete = async move {
            let delete = move |connection: &Connection| {
                let count = connection.execute("DELETE FROM d1_database WHERE id = ?1", [id.to_string()])?;
                if count == 0 { Err(D1Error::DatabaseMissing(id.to_string())) } else { Ok(()) }
            };
            store.meta.write(delete).await?;
            store.transfers.forget(id);
            store.usage.forget(id);
            store.open.remove(id).await;
            Ok(())
        };
        self.tasks.to_the_end("d1-database-delete", delete).await.ok_or(StoreError::Closed)?
    }

    /// Removes the files of databases that are no more: a deletion that was cut off leaves them.
    pub(crate) async fn remove_orphans(&self) -> Result<usize, StoreError> {
        let read = std::fs::read_dir(&self.folder);
        let entries = read.map_err(|error| StoreError::file("list", &self.folder, &error))?;
        let mut removed = 0;
        for entry in entries.flatten() {
            let Some(Ok(id)) = entry.file_name().to_str().map(str::parse::<DatabaseId>) else { continue };
            if self.database_get(id)?.is_none() {
                self.open.remove(id).await;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn database_where(&self, condition: &str, value: &str) -> Result<Option<Database>, StoreError> {
        self.meta.read_now(|connection| {
            let sql = format!(
                "SELECT id, name, created_ms, location_hint, jurisdiction FROM d1_database WHERE {condition}"
            );
            let found = connection.prepare_cached(&sql)?.query_row([value], read).optional()?;
            Ok(found.flatten())
        })
    }
}

fn read(row: &Row<'_>) -> store::rusqlite::Result<Option<Database>> {
    let id: String = row.get(0)?;
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(Some(Database {
        id,
        name: row.get(1)?,
        created_ms: row.get(2)?,
        location_hint: row.get(3)?,
        jurisdiction: row.get(4)?,
    }))
}

impl From<store::rusqlite::Error> for D1Error {
    /// For statements of our own.
    fn from(error: store::rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
