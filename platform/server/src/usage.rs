//! What the rooms hold and do, among the metrics.

use telemetry::Metrics;

/// Registers all of it.
pub(crate) fn show(kv: &kv::Namespaces, r2: &r2::Buckets, d1: &d1::Databases, metrics: &Metrics) {
    show_kv_and_r2(kv, r2, metrics);
    show_d1(d1, metrics);
}

/// Puts what namespaces and buckets hold among the metrics. A scrape in which that cannot be read goes without; the writes
/// will complain.
fn show_kv_and_r2(kv: &kv::Namespaces, r2: &r2::Buckets, metrics: &Metrics) {
    let of_kv = |of: fn(&kv::Usage) -> u64| {
        let kv = kv.clone();
        move || {
            let all = kv.usage().unwrap_or_default();
            all.into_iter().map(|usage| (usage.namespace.clone(), of(&usage))).collect()
        }
    };
    let of_r2 = |of: fn(&r2::Usage) -> u64| {
        let r2 = r2.clone();
        move || {
            let all = r2.usage().unwrap_or_default();
            all.into_iter().map(|usage| (usage.bucket.clone(), of(&usage))).collect()
        }
    };
    let (keys, bytes) = ("Keys of a KV namespace", "Bytes of the values of a KV namespace");
    metrics.sampled("kv_keys", keys, "namespace", of_kv(|usage| usage.keys));
    metrics.sampled("kv_value_bytes", bytes, "namespace", of_kv(|usage| usage.bytes));
    let (objects, bytes) = ("Objects of an R2 bucket", "Bytes of the objects of an R2 bucket");
    metrics.sampled("r2_objects", objects, "bucket", of_r2(|usage| usage.objects));
    metrics.sampled("r2_object_bytes", bytes, "bucket", of_r2(|usage| usage.bytes));
}

fn show_d1(d1: &d1::Databases, metrics: &Metrics) {
    let of = |names: [&'static str; 2]| {
        let d1 = d1.clone();
        move || {
            let totals = d1.totals().into_iter();
            totals
                .filter(|(name, _)| names.contains(name))
                .map(|(name, total)| (name.to_owned(), total))
                .collect()
        }
    };
    let (queries, rows) = ("Statements that D1 ran since the start", "Rows that they visited or wrote");
    metrics.sampled("d1_queries", queries, "kind", of(["read_queries", "write_queries"]));
    metrics.sampled("d1_rows", rows, "kind", of(["rows_read", "rows_written"]));
    let open = d1.clone();
    let count = move || vec![("open".to_owned(), open.open_count() as u64)];
    let histories = d1.clone();
    let bytes = "Bytes of the histories of open D1 databases, for time travel";
    metrics.sampled("d1_history_bytes", bytes, "database", move || histories.history_bytes());
    metrics.sampled("d1_databases", "D1 databases whose files are open", "state", count);
}
