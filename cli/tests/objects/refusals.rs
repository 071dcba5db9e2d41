//! What is not here yet is refused by name when it is deployed, never half done.

use serde_json::json;
use testkit::{Answer, Server};

use crate::support::{counter, increment, updated_counter, with_migrations};

#[tokio::test]
async fn what_is_not_supported_yet_says_so() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;

    let transfer = json!({ "new_tag": "v1", "steps": [{ "transferred_classes":
        [{ "from": "Counter", "from_script": "counter", "to": "Counter" }] }] });
    let mut elsewhere = updated_counter("two");
    elsewhere.name = "other".to_owned();
    elsewhere.metadata["bindings"] = json!([]);
    refused(&server.try_deploy(&with_migrations(elsewhere, transfer)).await, 10_021, "transferred_classes");

    let mut declared = updated_counter("two");
    declared.metadata["exports"] = json!({ "Counter": { "type": "durable-object", "storage": "sqlite" } });
    refused(&server.try_deploy(&declared).await, 10_501, "Durable Object exports");

    // A binding may name its own Worker.
    let mut own = updated_counter("three");
    own.metadata["bindings"][0]["script_name"] = json!("counter");
    server.deploy(&own).await;
    assert_eq!(increment(&server, "a").await, 1);
    server.stop().await;
}

fn refused(answer: &Answer, code: u32, text: &str) {
    let error = answer.json()["errors"][0].clone();
    assert_eq!((answer.status.as_u16(), &error["code"]), (400, &json!(code)), "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains(text) && message.contains("not supported by this version of Skerry"),
        "{message}"
    );
}
