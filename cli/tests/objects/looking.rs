//! What a person can see of their objects: namespaces, objects by pages, the inside of one, and a query that only reads.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, Server};

use crate::support::{ask, counter, increment, namespace};

#[tokio::test]
async fn objects_are_listed_inspected_and_queried_while_they_run() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    let namespace = namespace(&server).await;
    let objects = format!("/accounts/{{account}}/workers/durable_objects/namespaces/{namespace}/objects");
    assert_eq!(get(&server, &objects).await["result"], json!([]));
    let mut ids = Vec::new();
    for number in 0..5 {
        let answer = ask(&server, &format!("/object-{number}")).await;
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    let first = ids[0].clone();
    ids.sort_unstable();

    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&server, &format!("{objects}?limit=2&cursor={cursor}")).await;
        let rows = page["result"].as_array().expect("a list");
        assert!(rows.len() <= 2 && rows.iter().all(|row| row["hasStoredData"] == true), "{page}");
        listed.extend(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)));
        page["result_info"]["cursor"].as_str().unwrap_or_default().clone_into(&mut cursor);
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);

    increment(&server, "object-0").await;
    ask(&server, "/object-0/alarm?ms=600000").await;
    for named in ["object-0", first.as_str()] {
        let inside = get(&server, &format!("{objects}/{named}")).await["result"].clone();
        assert_eq!(inside["id"], json!(first));
        assert_eq!(
            (&inside["tables"][0]["name"], &inside["tables"][0]["rows"]),
            (&json!("state"), &json!(1))
        );
        assert_eq!(inside["keys"][0]["key"], json!("failures"));
        assert!(inside["alarm"].is_u64(), "{inside}");
    }
    let found =
        query(&server, &objects, "object-0", "SELECT n, 'é' AS t, x'00ff', 1.5, NULL FROM state").await;
    let found = found.expect(200).json()["result"].clone();
    assert_eq!(found["columns"], json!(["n", "t", "x'00ff'", "1.5", "NULL"]));
    assert_eq!((&found["rows"], &found["is_cut"]), (&json!([[2, "é", [0, 255], 1.5, null]]), &json!(false)));
    server.stop().await;
}

#[tokio::test]
async fn a_query_reads_this_object_and_nothing_else() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    increment(&server, "a").await;
    let objects = format!(
        "/accounts/{{account}}/workers/durable_objects/namespaces/{}/objects",
        namespace(&server).await
    );
    let data = server.folder().path().join("meta.sqlite");
    for sql in [
        "UPDATE state SET n = 100".to_owned(),
        "DROP TABLE state".to_owned(),
        format!("ATTACH '{}' AS meta", data.display()),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "VACUUM".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "SELECT 1; UPDATE state SET n = 100".to_owned(),
        "SELECT nothing".to_owned(),
        String::new(),
    ] {
        let refused = query(&server, &objects, "a", &sql).await;
        assert_eq!(refused.status, 400, "{sql}: {}", refused.text());
    }
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let stopped = query(&server, &objects, "a", endless).await;
    assert!(stopped.text().contains("it ran longer than 5 s"), "{}", stopped.text());
    let many = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";
    let cut = query(&server, &objects, "a", many).await.expect(200).json();
    assert_eq!(cut["result"]["rows"].as_array().map(Vec::len), Some(1_000));
    assert_eq!(cut["result"]["is_cut"], true);

    assert_eq!(query(&server, &objects, "nobody", "SELECT 1").await.status, 404);
    let elsewhere = objects.replace(&namespace(&server).await, &"0".repeat(32));
    let missing = server.api(Method::GET, &elsewhere, None).await;
    assert_eq!((missing.status.as_u16(), &missing.json()["errors"][0]["code"]), (404, &json!(10_066)));
    assert_eq!(increment(&server, "a").await, 2);
    server.stop().await;
}

async fn get(server: &Server, path: &str) -> Value {
    server.api(Method::GET, path, None).await.expect(200).json()
}

async fn query(server: &Server, objects: &str, object: &str, sql: &str) -> Answer {
    server.api(Method::POST, &format!("{objects}/{object}/query"), Some(&json!({ "sql": sql }))).await
}
