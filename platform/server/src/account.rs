//! The one account of this installation: drawn at the first start, kept in `meta.sqlite`.

use model::AccountId;
use store::{Database, Migration, StoreError, rusqlite::OptionalExtension};

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    name: "2026-11-21-installation",
    sql: "CREATE TABLE installation (account_id TEXT NOT NULL) STRICT;",
}];

/// The account's identifier.
pub(crate) async fn ensure(meta: &Database) -> Result<AccountId, StoreError> {
    meta.write(|db| {
        let stored: Option<String> =
            db.query_row("SELECT account_id FROM installation", (), |row| row.get(0)).optional()?;
        if let Some(account) = stored.and_then(|text| text.parse().ok()) {
            return Ok(account);
        }
        let account = AccountId::random();
        db.execute("INSERT INTO installation (account_id) VALUES (?1)", [account.as_str()])?;
        Ok(account)
    })
    .await
}
