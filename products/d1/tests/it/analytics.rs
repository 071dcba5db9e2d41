//! The figures behind `wrangler d1 info` and `d1 insights`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Room;

async fn dataset(room: &Room, name: &str, filter: Value) -> Vec<Value> {
    let found = room.d1.product.datasets.iter().find(|dataset| dataset.name == name).unwrap();
    (found.rows)(&filter).await.unwrap()
}

#[tokio::test]
async fn statements_are_counted_by_database_hour_and_text() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a)").await;
    for number in 0..3 {
        let insert = json!({"sql": "INSERT INTO t VALUES (?)", "params": [number]});
        room.ask("/query", insert).await.result();
    }
    room.house.clock.advance(Duration::from_secs(3600));
    room.run("SELECT a FROM t").await;
    let filter = json!({"AND": [{"databaseId": *room.database, "datetimeHour_geq": "2027-01-15T00:00:00.000Z",
        "datetimeHour_leq": "2027-01-15T09:30:00.000Z"}]});
    let mut hours = dataset(&room, "d1AnalyticsAdaptiveGroups", filter.clone()).await;
    hours.sort_by_key(|row| row["dimensions"]["datetimeHour"].to_string());
    let sums: Vec<_> =
        hours.iter().map(|row| (&row["sum"]["readQueries"], &row["sum"]["writeQueries"])).collect();
    assert_eq!(sums, [(&json!(0), &json!(4)), (&json!(1), &json!(0))]);
    assert_eq!(hours[1]["sum"]["rowsRead"], 3);
    assert_eq!(hours[1]["dimensions"]["datetimeHour"], "2027-01-15T09:00:00Z");

    let queries = dataset(&room, "d1QueriesAdaptiveGroups", filter).await;
    let of = |text: &str| queries.iter().find(|row| row["dimensions"]["query"] == text).unwrap();
    let insert = of("INSERT INTO t VALUES (?)");
    assert_eq!((&insert["count"], &insert["sum"]["rowsWritten"]), (&json!(3), &json!(3)));
    assert_eq!(insert["avg"]["rowsWritten"], 1.0);
    let select = of("SELECT a FROM t");
    assert_eq!(
        (&select["sum"]["rowsReturned"], &select["dimensions"]["databaseId"]),
        (&json!(3), &json!(*room.database))
    );
    let other = json!({"databaseId": "other"});
    assert!(dataset(&room, "d1QueriesAdaptiveGroups", other).await.is_empty());

    let sizes = dataset(&room, "d1StorageAdaptiveGroups", json!({})).await;
    assert_eq!(sizes[0]["max"]["databaseSizeBytes"], 8192);
    assert_eq!(room.d1.databases.totals()[..2], [("read_queries", 1), ("write_queries", 4)]);
    assert_eq!(room.d1.databases.open_count(), 1);
}
