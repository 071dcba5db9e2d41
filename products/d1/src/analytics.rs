//! What is known of the use and size of databases, as GraphQL queries ask for it (wrangler: `d1 info`, `d1 insights`).

use std::sync::Arc;

use futures_util::FutureExt;
use model::DatabaseId;
use product::Dataset;
use serde_json::{Value, json};
use store::StoreError;
use v4::rfc3339;

use crate::{
    model::DATABASES_MAX,
    store::Store,
    usage::{Hours, Sums},
};

/// How long ago sizes are said to be taken: clients ask for what lies before their own clock's now.
const AGE_MS: u64 = 60_000;

pub(crate) fn datasets(store: &Arc<Store>) -> Vec<Dataset> {
    let (of_analytics, of_queries, of_storage) = (Arc::clone(store), Arc::clone(store), Arc::clone(store));
    let now = |rows| std::future::ready(Ok(rows)).boxed();
    vec![
        Dataset {
            name: "d1AnalyticsAdaptiveGroups",
            rows: Arc::new(move |filter| now(analytics(&of_analytics, &Asked::of(filter)))),
        },
        Dataset {
            name: "d1QueriesAdaptiveGroups",
            rows: Arc::new(move |filter| now(queries(&of_queries, &Asked::of(filter)))),
        },
        Dataset {
            name: "d1StorageAdaptiveGroups",
            rows: Arc::new(move |filter| {
                let (store, asked) = (Arc::clone(&of_storage), Asked::of(filter));
                async move { storage(&store, &asked).await }.boxed()
            }),
        },
    ]
}

/// What a filter says of databases and hours. Whatever else it says, it is applied to the rows later.
#[derive(Debug, Default)]
struct Asked {
    database: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Asked {
    fn of(filter: &Value) -> Self {
        let mut asked = Self::default();
        let all = filter.get("AND").and_then(Value::as_array).into_iter().flatten();
        for filter in std::iter::once(filter).chain(all) {
            let text = |name: &str| Some(filter.get(name)?.as_str()?.to_owned());
            asked.database = asked.database.or_else(|| text("databaseId"));
            asked.from = asked.from.or_else(|| text("datetimeHour_geq"));
            asked.to = asked.to.or_else(|| text("datetimeHour_leq"));
        }
        asked
    }

    fn is_database(&self, id: DatabaseId) -> bool {
        self.database.as_ref().is_none_or(|asked| *asked == id.to_string())
    }

    /// The sums of the hours that are asked for, and the last of those.
    fn sum(&self, hours: &Hours) -> Option<(String, Sums)> {
        let hours = hours.iter().map(|(ms, sums)| (rfc3339(ms), sums));
        let is_asked = |hour: &String| {
            self.from.as_ref().is_none_or(|from| from <= hour) && self.to.as_ref().is_none_or(|to| hour <= to)
        };
        let mut hours = hours.filter(|(hour, _)| is_asked(hour));
        let first = hours.next()?;
        Some(hours.fold(first, |(_, mut so_far), (hour, sums)| {
            so_far.add(sums);
            (hour, so_far)
        }))
    }
}

/// A row for each hour of each database.
fn analytics(store: &Store, asked: &Asked) -> Vec<Value> {
    let mut rows = Vec::new();
    for (id, usage) in store.usage.of(|id| asked.is_database(id)) {
        for (ms, sums) in usage.hours.iter() {
            let Sums { read_queries, write_queries, rows_read, rows_written, rows_returned, duration_ms } =
                sums;
            let hour = rfc3339(ms);
            rows.push(json!({
                "count": read_queries + write_queries,
                "sum": {
                    "readQueries": read_queries, "writeQueries": write_queries, "rowsRead": rows_read,
                    "rowsWritten": rows_written, "rowsReturned": rows_returned, "queryDurationMs": duration_ms,
                },
                "dimensions": {
                    "databaseId": id.to_string(), "date": &hour[..10], "datetimeHour": hour, "datetime": hour,
                },
            }));
        }
    }
    rows
}

/// A row for each statement of each database, over all the hours that are asked for.
#[expect(clippy::cast_precision_loss, reason = "an average is not exact")]
fn queries(store: &Store, asked: &Asked) -> Vec<Value> {
    let mut rows = Vec::new();
    for (id, usage) in store.usage.of(|id| asked.is_database(id)) {
        for (sql, hours) in usage.statements() {
            let Some((hour, sums)) = asked.sum(hours) else { continue };
            let count = sums.read_queries + sums.write_queries;
            let average = |sum: u64| sum as f64 / count.max(1) as f64;
            let Sums { rows_read, rows_written, rows_returned, duration_ms, .. } = sums;
            rows.push(json!({
                "count": count,
                "sum": {
                    "queryDurationMs": duration_ms, "rowsRead": rows_read, "rowsWritten": rows_written,
                    "rowsReturned": rows_returned,
                },
                "avg": {
                    "queryDurationMs": duration_ms / count.max(1) as f64, "rowsRead": average(rows_read),
                    "rowsWritten": average(rows_written), "rowsReturned": average(rows_returned),
                },
                "dimensions": {
                    "query": sql, "databaseId": id.to_string(), "date": &hour[..10], "datetimeHour": hour,
                    "datetime": hour, "error": 0,
                },
            }));
        }
    }
    rows
}

/// Cloudflare's dataset keeps a history; ours has the present sizes, one row for each database.
async fn storage(store: &Store, asked: &Asked) -> Result<Vec<Value>, StoreError> {
    let datetime = rfc3339(store.clock().unix_ms().saturating_sub(AGE_MS));
    let (databases, _) = store.database_list(None, 0, DATABASES_MAX).await?;
    let asked_for = databases.into_iter().filter(|database| asked.is_database(database.id));
    let row = |database: crate::model::Database| {
        json!({
            "max": {"databaseSizeBytes": store.bytes_of(database.id)},
            "dimensions": {
                "databaseId": database.id.to_string(), "date": &datetime[..10], "datetime": datetime,
                "datetimeHour": format!("{}:00:00Z", &datetime[..13]),
            },
        })
    };
    Ok(asked_for.map(row).collect())
}
