//! What buckets hold, as GraphQL queries ask for it (wrangler: `r2 bucket info`).

use std::sync::Arc;

use futures_util::FutureExt;
use product::Dataset;
use serde_json::{Value, json};
use v4::rfc3339;

use crate::{model::Usage, store::Store};

/// How long ago the figures are said to be taken: clients ask for what lies before their own clock's now.
const AGE_MS: u64 = 60_000;

/// Cloudflare's dataset keeps a history; ours has the present figures, one row for each bucket.
pub(crate) fn storage(store: Arc<Store>) -> Dataset {
    let rows = move |_filter: &Value| {
        let taken_ms = store.now_ms().saturating_sub(AGE_MS);
        let rows = store.usage().map(|all| all.iter().map(|usage| row(usage, taken_ms)).collect());
        std::future::ready(rows).boxed()
    };
    Dataset { name: "r2StorageAdaptiveGroups", rows: Arc::new(rows) }
}

fn row(usage: &Usage, taken_ms: u64) -> Value {
    let Usage { bucket, jurisdiction, objects, bytes, metadata_bytes } = usage;
    let name = match jurisdiction.as_str() {
        "default" => bucket.clone(),
        elsewhere => format!("{elsewhere}_{bucket}"),
    };
    let datetime = rfc3339(taken_ms);
    json!({
        "max": {"objectCount": objects, "payloadSize": bytes, "metadataSize": metadata_bytes},
        "dimensions": {"bucketName": name, "date": &datetime[..10], "datetime": datetime},
    })
}
