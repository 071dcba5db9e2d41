//! What the account sees of a database.

use serde_json::{Value, json};
use store::StoreError;

use crate::Room;

#[tokio::test]
async fn a_database_tells_its_size_and_the_fields_that_are_asked_for() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a); CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT)").await;
    for name in ["test".to_owned(), room.database.to_string()] {
        let shown = room.call("GET", &format!("/{name}"), &Value::Null).await.result();
        assert_eq!((&shown["uuid"], &shown["name"]), (&json!(*room.database), &json!("test")));
        assert_eq!((&shown["num_tables"], &shown["version"]), (&json!(2), &json!("production")));
        assert!(shown["file_size"].as_u64().unwrap() >= 3 * 4096, "{shown}");
        assert_eq!(shown["read_replication"], json!({"mode": "disabled"}));
        assert_eq!(shown["running_in_region"], "LOCAL");
    }
    let some = room.call("GET", "/test?fields=uuid,name", &Value::Null).await.result();
    assert_eq!(some, json!({"uuid": *room.database, "name": "test"}));
    let hinted = json!({"name": "far", "primary_location_hint": "weur"});
    room.call("POST", "", &hinted).await.result();
    let far = room.call("GET", "/far?fields=running_in_region,num_tables", &Value::Null).await.result();
    assert_eq!(far, json!({"running_in_region": "WEUR", "num_tables": 0}));
}

#[tokio::test]
async fn read_replication_can_be_disabled_and_nothing_else() {
    let room = Room::new().await;
    for method in ["PUT", "PATCH"] {
        let change = |mode: &str| json!({"read_replication": {"mode": mode}});
        let shown = room.call(method, "/test", &change("disabled")).await.result();
        assert_eq!(shown["read_replication"]["mode"], "disabled");
        let refused = room.call(method, "/test", &change("auto")).await;
        assert_eq!(refused.refusal(), (400, 7400));
        assert!(refused.message().contains("one machine"), "{}", refused.message());
        assert_eq!(room.call(method, "/nobody", &change("disabled")).await.refusal(), (404, 7404));
    }
    let replicated = json!({"name": "b", "read_replication": {"mode": "auto"}});
    assert_eq!(room.call("POST", "", &replicated).await.refusal(), (400, 7400));
}

#[tokio::test]
async fn an_account_has_50_000_databases_and_64_files_on_their_way() {
    let room = Room::new().await;
    for number in 0..64 {
        let init = json!({"action": "init", "etag": format!("{number:032x}")});
        room.ask("/import", init).await.result();
    }
    let init = json!({"action": "init", "etag": "f".repeat(32)});
    assert_eq!(room.ask("/import", init).await.refusal(), (429, 7500));

    let fill = "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 49999)
                INSERT INTO d1_database (id, name, created_ms) SELECT printf('%08x-0000-4000-8000-000000000000', i), 'x' || i, 1 FROM n";
    room.house.meta.write(move |meta| Ok::<_, StoreError>(meta.execute(fill, [])?)).await.unwrap();
    let refused = room.call("POST", "", &json!({"name": "one-more"})).await;
    assert_eq!(refused.refusal(), (403, 7406), "{}", refused.text());

    for (page, expected) in [(1, 1000), (50, 1000), (51, 0), (u64::MAX, 0)] {
        let listed = room.call("GET", &format!("?per_page=1000&page={page}"), &Value::Null).await.json();
        let info = &listed["result_info"];
        assert_eq!((&info["count"], &info["total_count"]), (&json!(expected), &json!(50_000)), "page {page}");
    }
}

#[tokio::test]
async fn a_batch_is_one_transaction() {
    let room = Room::new().await;
    room.run("CREATE TABLE t (a UNIQUE)").await;
    let insert = |value: i32| json!({"sql": "INSERT INTO t VALUES (?)", "params": [value]});
    let both = room.ask("/query", json!({"batch": [insert(1), insert(2)]})).await.result();
    assert_eq!(both.as_array().unwrap().len(), 2);
    let refused = room.ask("/query", json!({"batch": [insert(3), insert(1)]})).await;
    assert_eq!(refused.refusal(), (400, 7500));
    assert_eq!(room.run("SELECT count(*) FROM t").await, json!([[2]]));
    assert_eq!(room.ask("/query", json!({"params": []})).await.refusal(), (400, 7400));
}
