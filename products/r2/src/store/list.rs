//! Listing: keys in the order of their bytes, with a seek past each common prefix instead of a walk through it.

use model::BucketName;
use store::rusqlite::{Connection, params};

use super::{Store, rows};
use crate::{
    R2Error,
    model::{ListQuery, Listed, Page, beyond},
};

impl Store {
    /// One page of a bucket's objects and common prefixes.
    pub(crate) async fn list(&self, bucket: &BucketName, query: ListQuery) -> Result<Page, R2Error> {
        let name = bucket.as_str().to_owned();
        let list = move |connection: &Connection| {
            let (bucket, _) = rows::bucket(connection, &name)?;
            list(connection, bucket, &query)
        };
        self.shard(bucket)?.database.read(list).await
    }
}

fn list(connection: &Connection, bucket: i64, query: &ListQuery) -> Result<Page, R2Error> {
    let (mut lower, upper) = (query.lower_bound(), query.upper_bound());
    let mut entries = Vec::new();
    let columns = rows::OBJECT_COLUMNS;
    let mut select = connection.prepare_cached(&format!(
        "SELECT {columns} FROM object WHERE bucket = ?1 AND ?2 <= key AND key < ?3 ORDER BY key"
    ))?;
    'seek: loop {
        let mut found = select.query(params![bucket, lower, upper])?;
        while let Some(row) = found.next()? {
            // One more than asked for tells whether this page is the last.
            if entries.len() == query.limit() {
                return Ok(Page { entries, is_truncated: true });
            }
            let key = rows::text(row, 0)?;
            if let Some(prefix) = query.fold(&key) {
                lower = beyond(prefix);
                entries.push(Listed::Prefix(prefix.to_owned()));
                continue 'seek;
            }
            entries.push(Listed::Object(Box::new(rows::object(row)?)));
        }
        return Ok(Page { entries, is_truncated: false });
    }
}
