//! Zones, routes and custom domains through the doors: who answers which URL, what is refused, and what stays.

use serde_json::{Value, json};
use workers::Target;

use crate::harness::{Room, Upload, ZONE};

/// A room with the Workers `one`, `two` and `three`, which answer nowhere yet.
async fn room() -> Room {
    let room = Room::open().await;
    for script in ["one", "two", "three"] {
        room.put(script, &Upload::module("export default {}")).await.ok();
    }
    room
}

impl Room {
    async fn zone(&self, name: &str) -> String {
        let zones = self.get(&format!("/zones?name={name}")).await.ok();
        zones[0]["id"].as_str().expect("the zone is there").to_owned()
    }

    async fn set_routes(&self, script: &str, patterns: &[&str]) -> crate::harness::Answer {
        let routes: Vec<Value> = patterns.iter().map(|pattern| json!({"pattern": pattern})).collect();
        self.json("PUT", &format!("/scripts/{script}/routes"), json!(routes)).await
    }

    async fn set_domains(&self, script: &str, hosts: &[&str], may_override: bool) -> crate::harness::Answer {
        let origins: Vec<Value> = hosts.iter().map(|host| json!({"hostname": host})).collect();
        let body =
            json!({"override_scope": true, "override_existing_origin": may_override, "origins": origins});
        self.json("PUT", &format!("/scripts/{script}/domains/records"), body).await
    }

    /// The Worker that answers a URL.
    fn who(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let (host, path_and_query) = rest.split_at(rest.find('/').expect("a path"));
        let target = Target { is_https: scheme == "https", host, path_and_query };
        let route = self.routes.find(&target)?;
        assert!(self.routes.serves(host), "{host} answers");
        Some(route.script.to_string())
    }
}

#[tokio::test]
async fn a_zone_has_cloudflares_shape_and_can_be_found_by_name() {
    let room = Room::open().await;
    let account = room.house.account.to_string();
    let created =
        room.json("POST", "/zones", json!({"name": "Shop.example", "account": {"id": account}})).await.ok();
    let id = created["id"].as_str().unwrap();
    assert_eq!(
        (id.len(), &created["name"], &created["status"]),
        (32, &json!("shop.example"), &json!("active"))
    );
    assert_eq!(created["account"]["id"], account);
    assert_eq!(room.get(&format!("/zones/{id}")).await.ok(), created);

    let names = async |query: &str| -> Vec<String> {
        let zones = room.get(&format!("/zones?{query}")).await.ok();
        zones.as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("").await, [ZONE, "shop.example"]);
    assert_eq!(names(&format!("name=shop.example&account.id={account}")).await, ["shop.example"]);
    assert_eq!(names("name=example").await, [""; 0]);
    assert_eq!(names("account.id=00000000000000000000000000000000").await, [""; 0]);
    assert_eq!(names("per_page=1&page=2").await, ["shop.example"]);
    assert_eq!(names("per_page=1&page=3").await, [""; 0]);

    assert_eq!(room.json("DELETE", &format!("/zones/{id}"), Value::Null).await.ok(), json!({"id": id}));
    for (method, path, body, refusal) in [
        ("GET", format!("/zones/{id}"), Value::Null, (400, 1_001)),
        ("DELETE", format!("/zones/{id}"), Value::Null, (400, 1_001)),
        ("GET", format!("/zones/{id}/workers/routes"), Value::Null, (400, 1_001)),
        ("POST", "/zones".to_owned(), json!({"name": ZONE}), (400, 1_061)),
        ("POST", "/zones".to_owned(), json!({"name": "no domain"}), (400, 7_400)),
        ("POST", "/zones".to_owned(), json!({"name": "a.b", "account": {"id": "other"}}), (403, 10_000)),
    ] {
        let answer = room.json(method, &path, body).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), refusal, "{method} {path}");
    }
}

#[tokio::test]
async fn the_most_specific_route_answers_and_what_no_route_matches_is_not_served() {
    let room = room().await;
    let zone = room.zone(ZONE).await;
    room.set_routes("one", &["example.com/*", "*.example.com/*", "http://plain.example.com/*"]).await.ok();
    room.set_routes("two", &["example.com/images*", "api.example.com/v1/*"]).await.ok();
    // Without a Worker, less specific routes are switched off.
    for body in
        [json!({"pattern": "example.com/static/*"}), json!({"pattern": "*off.example.com/*", "script": ""})]
    {
        room.json("POST", &format!("/zones/{zone}/workers/routes"), body).await.ok();
    }
    for (url, script) in [
        ("http://example.com/", Some("one")),
        ("http://EXAMPLE.com/x?y=1", Some("one")),
        ("https://example.com/images/cat.png", Some("two")),
        ("http://example.com/static/app.js", None),
        ("http://example.com/static", Some("one")),
        ("http://a.b.example.com/", Some("one")),
        ("http://wwwexample.com/", None),
        ("http://api.example.com/v1/users", Some("two")),
        ("http://api.example.com/v2/users", Some("one")),
        ("http://off.example.com/", None),
        ("http://very-off.example.com/", None),
        ("https://plain.example.com/", Some("one")),
        ("http://one.localhost/", None),
    ] {
        assert_eq!(room.who(url).as_deref(), script, "{url}");
    }
    assert!(!room.routes.serves("wwwexample.com") && !room.routes.serves("localhost"));
}

#[tokio::test]
async fn a_custom_domain_comes_before_a_route_and_a_route_before_a_workers_own_host() {
    let room = room().await;
    room.json("POST", "/zones", json!({"name": "localhost"})).await.ok();
    room.deployed("three", &Upload::module("export default {}")).await;
    assert_eq!(room.who("http://three.localhost/admin").as_deref(), Some("three"));
    room.set_routes("one", &["*.localhost/admin*"]).await.ok();
    assert_eq!(room.who("http://three.localhost/admin").as_deref(), Some("one"));
    assert_eq!(room.who("http://three.localhost/").as_deref(), Some("three"));
    room.set_domains("two", &["three.localhost"], false).await.ok();
    assert_eq!(room.who("http://three.localhost/admin").as_deref(), Some("two"));
    assert_eq!(room.who("http://three.localhost/").as_deref(), Some("two"));
}

#[tokio::test]
async fn a_subdomain_that_is_a_zone_of_its_own_is_not_the_parents() {
    let room = room().await;
    room.set_routes("one", &["*.example.com/*"]).await.ok();
    room.json("POST", "/zones", json!({"name": "eu.example.com"})).await.ok();
    assert_eq!(room.who("http://a.eu.example.com/"), None);
    assert_eq!(room.who("http://a.us.example.com/").as_deref(), Some("one"));
    let named = json!([{"pattern": "a.eu.example.com/*", "zone_name": ZONE}]);
    assert_eq!(room.json("PUT", "/scripts/two/routes", named).await.refusal().1, 10_022);
    room.set_routes("two", &["a.eu.example.com/*"]).await.ok();
    assert_eq!(room.who("http://a.eu.example.com/").as_deref(), Some("two"));
}

#[tokio::test]
async fn replacing_a_workers_routes_keeps_the_ids_of_those_that_stay() {
    let room = room().await;
    let zone = room.zone(ZONE).await;
    let list = format!("/zones/{zone}/workers/routes");
    room.set_routes("two", &["two.example.com/*"]).await.ok();
    let patterns = room.set_routes("one", &["a.example.com/*", "b.example.com/*"]).await.ok();
    assert_eq!(patterns, json!(["a.example.com/*", "b.example.com/*"]));
    let before = room.get(&list).await.ok();
    room.set_routes("one", &["b.example.com/*", "c.example.com/*"]).await.ok();
    let after = room.get(&list).await.ok();
    assert_eq!((after.as_array().unwrap().len(), &after[0]), (3, &before[0]), "another Worker's route stays");
    assert_eq!(after[1], before[2], "the route that stays keeps its id");
    assert_eq!(
        (room.who("http://a.example.com/"), room.who("http://c.example.com/").as_deref()),
        (None, Some("one"))
    );
    room.set_routes("one", &[]).await.ok();
    assert_eq!(room.who("http://b.example.com/"), None);
}

#[tokio::test]
async fn routes_are_changed_one_by_one_too() {
    let room = room().await;
    let list = format!("/zones/{}/workers/routes", room.zone(ZONE).await);
    let route = json!({"pattern": "example.com/*", "script": "one"});
    let created = room.json("POST", &list, route).await.ok();
    let one = format!("{list}/{}", created["id"].as_str().unwrap());
    assert_eq!(room.get(&one).await.ok(), created);
    assert_eq!(created["script"], "one");
    let changed = room.json("PUT", &one, json!({"pattern": "example.com/x*", "script": "two"})).await.ok();
    assert_eq!(changed, json!({"id": created["id"], "pattern": "example.com/x*", "script": "two"}));
    assert_eq!(room.get(&list).await.ok(), json!([changed]));
    assert_eq!(
        (room.who("http://example.com/"), room.who("http://example.com/x").as_deref()),
        (None, Some("two"))
    );
    room.json("DELETE", &one, Value::Null).await.ok();
    assert_eq!(room.who("http://example.com/x"), None);
    for method in ["GET", "DELETE", "PUT"] {
        let answer = room.json(method, &one, json!({"pattern": "example.com/*"})).await;
        assert_eq!((answer.refusal().0, answer.refusal().1), (404, 10_005), "{method}");
    }
}

#[tokio::test]
async fn a_route_that_cannot_be_is_refused_and_changes_nothing() {
    let room = room().await;
    let zone = room.zone(ZONE).await;
    room.set_routes("one", &["Example.com/*"]).await.ok();
    for (pattern, status, code, words) in [
        ("example.com/*", 409, 10_020, "A route with the same pattern already exists"),
        ("EXAMPLE.COM/*", 409, 10_020, "of the Worker 'one'"),
        ("other.net/*", 400, 10_022, "Route pattern must include zone name: other.net/*"),
        ("*ample.com/*", 400, 10_022, "must include zone name"),
        ("wwwexample.com/*", 400, 10_022, "must include zone name"),
        ("example.com/*.jpg", 400, 10_022, "may only contain wildcards at the beginning"),
        ("example.com/?a=*", 400, 10_022, "should not have query parameters"),
        ("/w1", 400, 10_022, "Could not understand route pattern /w1"),
    ] {
        let answers = [
            room.set_routes("two", &["fine.example.com/*", pattern]).await,
            room.json(
                "POST",
                &format!("/zones/{zone}/workers/routes"),
                json!({"pattern": pattern, "script": "two"}),
            )
            .await,
        ];
        for answer in answers {
            let (actual, actual_code, message) = answer.refusal();
            assert_eq!((actual, actual_code), (status, code), "{pattern}: {message}");
            assert!(message.contains(words), "{message} should say {words}");
        }
    }
    let missing = json!({"pattern": "example.com/x", "script": "nobody"});
    let answer = room.json("POST", &format!("/zones/{zone}/workers/routes"), missing).await;
    assert_eq!((answer.refusal().0, answer.refusal().1), (400, 10_019));
    let unknown = json!([{"pattern": "example.com/x", "zone_id": "0"}]);
    assert_eq!(room.json("PUT", "/scripts/one/routes", unknown).await.refusal().1, 1_001);
    assert_eq!(room.set_routes("nobody", &["x.example.com/"]).await.refusal().1, 10_007);
    assert_eq!(room.who("http://fine.example.com/"), None);
    assert_eq!(room.who("http://example.com/").as_deref(), Some("one"));
}

#[tokio::test]
async fn a_custom_domain_moves_to_another_worker_only_if_told_so() {
    let room = room().await;
    let records = room.set_domains("one", &["Shop.example.com", "example.com"], false).await.ok();
    let shop = &records[1];
    assert_eq!((&shop["hostname"], &shop["service"]), (&json!("shop.example.com"), &json!("one")));
    assert_eq!((&shop["zone_name"], &shop["environment"]), (&json!(ZONE), &json!("production")));
    assert_eq!(room.who("https://shop.example.com/any?x").as_deref(), Some("one"));

    let wanted = json!([{"hostname": "shop.example.com"}, {"hostname": "new.example.com"}]);
    let changes =
        room.json("POST", "/scripts/two/domains/changeset?replace_state=true", wanted.clone()).await.ok();
    assert_eq!(changes["added"], json!([{"hostname": "new.example.com"}]));
    assert_eq!(
        (&changes["updated"][0]["id"], &changes["updated"][0]["modified"]),
        (&shop["id"], &json!(true))
    );
    assert_eq!((&changes["removed"], &changes["conflicting"]), (&json!([]), &json!([])));
    let changes = room.json("POST", "/scripts/one/domains/changeset?replace_state=true", wanted).await.ok();
    assert_eq!(changes["updated"][0]["modified"], false);
    assert_eq!(changes["removed"][0]["hostname"], "example.com");

    let id = shop["id"].as_str().unwrap();
    assert_eq!(room.get(&format!("/domains/records/{id}")).await.ok()["service"], "one");
    let refused = room.set_domains("two", &["new.example.com", "shop.example.com"], false).await;
    assert_eq!((refused.refusal().0, refused.refusal().1), (409, 100_116));
    assert_eq!(room.who("http://new.example.com/"), None, "all or nothing");
    room.set_domains("two", &["shop.example.com"], true).await.ok();
    assert_eq!(room.get(&format!("/domains/{id}")).await.ok()["service"], "two");
    assert_eq!(room.who("http://shop.example.com/").as_deref(), Some("two"));
    assert_eq!(room.who("http://example.com/").as_deref(), Some("one"));

    let of_two = room.get("/domains/records?page=0&per_page=5&service=two&environment=production").await.ok();
    assert_eq!(of_two.as_array().unwrap().len(), 1);
    room.json("DELETE", &format!("/domains/{id}"), Value::Null).await.ok();
    assert_eq!(room.who("http://shop.example.com/"), None);
    assert_eq!(room.get(&format!("/domains/{id}")).await.refusal().1, 10_005);
}

#[tokio::test]
async fn a_custom_domain_is_a_host_in_a_zone_and_may_be_switched_off() {
    let room = room().await;
    let body = |hostname: &str| json!({"hostname": hostname, "service": "one", "environment": "production"});
    for (hostname, words) in [
        ("shop.other.net", "no zone here holds 'shop.other.net'"),
        ("*.example.com", "not a host name"),
        ("example.com/path", "not a host name"),
        ("https://example.com", "not a host name"),
        ("example.com:80", "not a host name"),
    ] {
        let answer = room.json("PUT", "/domains", body(hostname)).await;
        assert!(answer.refusal().0 == 400 && answer.refusal().2.contains(words), "{:?}", answer.refusal());
    }
    assert_eq!(room.json("PUT", "/domains", body("www.example.com")).await.ok()["enabled"], true);
    assert_eq!(room.who("http://www.example.com/").as_deref(), Some("one"));
    let off = json!({"origins": [{"hostname": "www.example.com", "enabled": false}]});
    room.json("PUT", "/scripts/one/domains/records", off).await.ok();
    assert_eq!(room.who("http://www.example.com/"), None);
    let previews = json!({"origins": [{"hostname": "www.example.com", "previews_enabled": true}]});
    assert_eq!(room.json("PUT", "/scripts/one/domains/records", previews).await.refusal().1, 10_501);
}

#[tokio::test]
async fn a_restart_keeps_all_and_deleting_takes_what_depends_on_it_along() {
    let room = room().await;
    let zone = room.zone(ZONE).await;
    room.set_routes("one", &["one.example.com/*"]).await.ok();
    room.set_routes("two", &["two.example.com/*"]).await.ok();
    room.set_domains("two", &["shop.example.com"], false).await.ok();
    let list = room.get(&format!("/zones/{zone}/workers/routes")).await.ok();

    let room = room.reopen().await;
    assert_eq!(room.zone(ZONE).await, zone, "the zone of the settings file keeps its id");
    assert_eq!(room.get(&format!("/zones/{zone}/workers/routes")).await.ok(), list);
    assert_eq!(room.who("http://one.example.com/").as_deref(), Some("one"));
    assert_eq!(room.who("http://shop.example.com/").as_deref(), Some("two"));

    room.json("DELETE", "/services/two", Value::Null).await.ok();
    assert_eq!((room.who("http://two.example.com/"), room.who("http://shop.example.com/")), (None, None));
    assert_eq!(room.get(&format!("/zones/{zone}/workers/routes")).await.ok().as_array().unwrap().len(), 1);
    assert_eq!(room.get("/domains").await.ok(), json!([]));

    room.json("DELETE", &format!("/zones/{zone}"), Value::Null).await.ok();
    assert_eq!(room.who("http://one.example.com/"), None);
    assert_ne!(room.reopen().await.zone(ZONE).await, zone, "the settings file makes it anew, empty");
}
