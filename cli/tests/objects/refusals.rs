//! What is not here yet is refused by name when it is deployed, never half done.

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, Server};

use crate::support::{binding, counter, increment, updated_counter, upload_version};

#[tokio::test]
async fn what_is_not_supported_yet_says_so() {
    let server = Server::start().await;
    let first = server.deploy(&counter("one")).await;

    let mut foreign = binding("COUNTER", "Counter");
    foreign["script_name"] = json!("counter");
    let mut elsewhere = updated_counter("two");
    elsewhere.name = "other".to_owned();
    elsewhere.metadata["bindings"] = json!([foreign]);
    refused(&server.try_deploy(&elsewhere).await, 10_021, "script_name 'counter'");

    let second = upload_version(&server, &updated_counter("two")).await.expect(200).json();
    let portions: Vec<Value> = [&first["result"]["deployment_id"], &second["result"]["id"]]
        .map(|id| json!({ "version_id": id, "percentage": 50 }))
        .into();
    let split = json!({ "strategy": "percentage", "versions": portions });
    let deployments = "/accounts/{account}/workers/scripts/counter/deployments";
    refused(&server.api(Method::POST, deployments, Some(&split)).await, 10_021, "several versions");

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
