//! The v4 routes: what an object's writer says of it comes back, within limits, and buckets are seen in their jurisdiction.

use serde_json::json;

use crate::Room;

#[tokio::test]
async fn an_object_read_tells_when_it_was_written_and_when_it_expires() {
    let room = Room::new().await;
    let expires = ("expires", "Wed, 21 Oct 2026 07:28:00 GMT");
    let put = room.rest("PUT", "/bucket/objects/a", &[expires, ("cache-control", "no-store")], "v").await;
    assert_eq!(put.status, 200);
    let read = room.rest("GET", "/bucket/objects/a", &[], "").await;
    for (name, value) in
        [expires, ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT"), ("cache-control", "no-store")]
    {
        assert_eq!(read.headers[name], value);
    }
    let head = room.ask(&json!({"method": "head", "object": "a"})).await.described();
    assert_eq!(head["httpFields"]["cacheExpiry"], json!(1_792_567_680_000_u64));
}

#[tokio::test]
async fn an_expires_that_is_no_date_is_refused_and_changes_nothing() {
    let room = Room::new().await;
    assert_eq!(room.put("a", b"old").await.status, 200);
    for text in ["0", "soon", "Wed, 21 Oct 1926 07:28:00 GMT"] {
        let put = room.rest("PUT", "/bucket/objects/a", &[("expires", text)], "new").await;
        assert_eq!(put.refusal(), (400, 10_029), "{text}");
    }
    assert_eq!(room.get("a").await.value(), b"old");
}

#[tokio::test]
async fn a_bucket_is_seen_only_by_those_who_name_its_jurisdiction() {
    let room = Room::new().await;
    let eu = ("cf-r2-jurisdiction", "eu");
    let created = room.rest("POST", "", &[eu], json!({"name": "european"}).to_string()).await;
    assert_eq!(created.json()["result"]["jurisdiction"], "eu");
    let names = async |headers: &[(&str, &str)]| {
        let listed = room.rest("GET", "?per_page=10", headers, "").await.json();
        let buckets = listed["result"]["buckets"].as_array().unwrap().clone();
        buckets.iter().map(|bucket| bucket["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]).await, ["bucket"]);
    assert_eq!(names(&[("cf-r2-jurisdiction", "default")]).await, ["bucket"]);
    assert_eq!(names(&[eu]).await, ["european"]);
    assert_eq!(room.rest("PUT", "/european/objects/a", &[eu], "v").await.status, 200);
    for method in ["GET", "PUT", "DELETE"] {
        let strange = room.rest(method, "/european/objects/a", &[], "w").await;
        assert_eq!(strange.refusal(), (404, 10_006), "{method}");
    }
    assert_eq!(room.rest("DELETE", "/european", &[], "").await.refusal(), (404, 10_006));
    assert_eq!(room.rest("GET", "/bucket", &[eu], "").await.refusal(), (404, 10_006));
    assert_eq!(room.rest("GET", "/european/objects/a", &[eu], "").await.body, "v");
    // The name is taken in all jurisdictions.
    let again = room.rest("POST", "", &[], json!({"name": "european"}).to_string()).await;
    assert_eq!(again.refusal(), (409, 10_004));
    let unknown = [("cf-r2-jurisdiction", "mars")];
    assert_eq!(room.rest("GET", "", &unknown, "").await.refusal(), (400, 10_029));
    assert_eq!(
        room.rest("POST", "", &unknown, json!({"name": "red"}).to_string()).await.refusal(),
        (400, 10_029)
    );
}
