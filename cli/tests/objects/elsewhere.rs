//! Objects that another Worker uses: the same objects, wherever they are asked from; both processes sleep, wake and are replaced
//! without the other's noticing.

use serde_json::json;
use testkit::Server;

use crate::support::{ask, ask_of, caller, counter};

#[tokio::test]
async fn an_object_is_the_same_for_its_own_worker_and_for_another() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    server.deploy(&caller()).await;
    for n in [1, 3] {
        let elsewhere = ask_of(&server, "caller", "/a").await;
        let own = ask(&server, "/a").await;
        assert_eq!((&elsewhere["n"], &own["n"]), (&json!(n), &json!(n + 1)));
        assert_eq!((&elsewhere["name"], &elsewhere["release"]), (&json!("a"), &json!("one")));
        assert_eq!(elsewhere["id"], own["id"]);
    }
    server.stop().await;
}
