//! The account's namespaces. One exists when the registry has it; its shard knows it too, so that a write and the
//! deletion of its namespace cannot pass each other.

use std::{collections::HashSet, sync::Arc};

use model::NamespaceId;
use store::{
    StoreError,
    rusqlite::{Connection, ErrorCode, OptionalExtension, params},
};

use super::Store;
use crate::{
    KvError,
    model::{NAMESPACES_MAX, Namespace, Title},
};

/// How a list of namespaces is ordered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Order {
    pub(crate) by_title: bool,
    pub(crate) is_descending: bool,
}

impl Store {
    /// Makes a namespace with a new id.
    pub(crate) async fn namespace_create(&self, title: Title) -> Result<Namespace, KvError> {
        let namespace = Namespace { id: NamespaceId::random(), title: title.into_string() };
        // The shard first: what only the shard knows does not exist, and the next start forgets it.
        self.set_in_shard(&namespace.id, true).await?;
        let created = namespace.clone();
        let insert = move |connection: &Connection| {
            let count: usize =
                connection.query_row("SELECT count(*) FROM namespace", [], |row| row.get(0))?;
            if NAMESPACES_MAX <= count {
                return Err(KvError::NamespacesTooMany);
            }
            connection
                .execute(
                    "INSERT INTO namespace (id, title) VALUES (?1, ?2)",
                    params![created.id.as_str(), created.title],
                )
                .map_err(title_taken)?;
            Ok(())
        };
        let inserted = self.registry.write(insert).await;
        if inserted.is_err() {
            self.set_in_shard(&namespace.id, false).await?;
        }
        inserted.map(|()| namespace)
    }

    /// Gives a namespace another title.
    pub(crate) async fn namespace_rename(&self, id: NamespaceId, title: Title) -> Result<Namespace, KvError> {
        let namespace = Namespace { id, title: title.into_string() };
        let renamed = namespace.clone();
        let update = move |connection: &Connection| {
            let parameters = params![renamed.title, renamed.id.as_str()];
            let count = connection.execute("UPDATE namespace SET title = ?1 WHERE id = ?2", parameters);
            if count.map_err(title_taken)? == 0 { Err(KvError::NamespaceMissing) } else { Ok(()) }
        };
        self.registry.write(update).await.map(|()| namespace)
    }

    /// Deletes a namespace; its keys are gone at once, and their space is won back in the background.
    /// Both files are changed even if the caller hangs up in between: bindings ask the shard alone.
    pub(crate) async fn namespace_delete(self: &Arc<Self>, id: NamespaceId) -> Result<(), KvError> {
        let (store, deleted) = (Arc::clone(self), id.clone());
        let delete = move |connection: &Connection| {
            let count = connection.execute("DELETE FROM namespace WHERE id = ?1", [deleted.as_str()])?;
            if count == 0 { Err(KvError::NamespaceMissing) } else { Ok(()) }
        };
        let both = async move {
            store.registry.write(delete).await?;
            Ok(store.set_in_shard(&id, false).await?)
        };
        self.tasks.to_the_end("kv-namespace-delete", both).await.ok_or(StoreError::Closed)?
    }

    /// Finds a namespace.
    pub(crate) fn namespace_get(&self, id: &NamespaceId) -> Result<Option<Namespace>, StoreError> {
        self.registry.read_now(|connection| {
            let title = connection
                .prepare_cached("SELECT title FROM namespace WHERE id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()?;
            Ok(title.map(|title| Namespace { id: id.clone(), title }))
        })
    }

    /// Lists all namespaces; there are at most [`NAMESPACES_MAX`].
    pub(crate) async fn namespace_list(&self, order: Order) -> Result<Vec<Namespace>, KvError> {
        let sql = match (order.by_title, order.is_descending) {
            (true, false) => "SELECT id, title FROM namespace ORDER BY title",
            (true, true) => "SELECT id, title FROM namespace ORDER BY title DESC",
            (false, false) => "SELECT id, title FROM namespace ORDER BY id",
            (false, true) => "SELECT id, title FROM namespace ORDER BY id DESC",
        };
        let select = move |connection: &Connection| -> Result<Vec<(String, String)>, KvError> {
            let mut select = connection.prepare_cached(sql)?;
            Ok(select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
        };
        let rows = self.registry.read(select).await?;
        let parse = |(id, title): (String, String)| id.parse().map(|id| Namespace { id, title }).ok();
        Ok(rows.into_iter().filter_map(parse).collect())
    }

    /// Brings the shards in line with the registry after an interruption between the two.
    pub(super) async fn reconcile_namespaces(&self) -> Result<(), StoreError> {
        let registered = self.registry.read(|connection| ids(connection, "SELECT id FROM namespace")).await?;
        let mut known = HashSet::new();
        for shard in &self.shards {
            let sql = "SELECT id FROM namespace WHERE id IS NOT NULL";
            known.extend(shard.read(move |connection| ids(connection, sql)).await?);
        }
        let registered: HashSet<NamespaceId> = registered.into_iter().collect();
        for id in known.difference(&registered) {
            self.set_in_shard(id, false).await?;
        }
        for id in registered.difference(&known) {
            self.set_in_shard(id, true).await?;
        }
        Ok(())
    }

    async fn set_in_shard(&self, id: &NamespaceId, exists: bool) -> Result<(), StoreError> {
        let sql = if exists {
            "INSERT INTO namespace (id) VALUES (?1) ON CONFLICT DO NOTHING"
        } else {
            "UPDATE namespace SET id = NULL WHERE id = ?1"
        };
        let text = id.as_str().to_owned();
        let write = move |connection: &Connection| connection.execute(sql, [text]).map_err(StoreError::from);
        self.shard(id.as_str()).write(write).await.map(|_count| ())
    }
}

fn ids(connection: &Connection, sql: &str) -> Result<Vec<NamespaceId>, StoreError> {
    let mut select = connection.prepare(sql)?;
    let texts = select.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

fn title_taken(error: store::rusqlite::Error) -> KvError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => KvError::NamespaceExists,
        _ => error.into(),
    }
}
