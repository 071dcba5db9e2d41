//! A namespace is copied while its objects run, and restored whole: a crash during the restore leaves what there was or what
//! was restored, and what is no whole archive of this namespace changes nothing.

use std::{cell::Cell, fs, sync::Arc};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};
use testkit::{Answer, DataFolder, Message, Server, send, within};

use crate::support::{Client, SOON, ask, counter, increment, namespace, updated_counter};

const OBJECTS: usize = 20;
/// More steps than a restore has.
const PASSAGES_MAX: u32 = 10;

#[tokio::test]
async fn a_namespace_is_copied_while_its_objects_run_and_restored_with_their_alarms() {
    let server = Server::start().await;
    server.deploy(&counter("one")).await;
    for number in 0..OBJECTS {
        increment(&server, &format!("object-{number}")).await;
    }
    ask(&server, "/object-0/alarm?ms=600000").await;
    let id = namespace(&server).await;

    let is_over = Cell::new(false);
    let writers = join_all((0..4).map(async |_| {
        let (mut client, mut number) = (Client::new(&server, "counter"), 1);
        while !is_over.get() {
            let path = format!("/object-{}", number % OBJECTS);
            let _ = client.post(&path).await.expect("an answer").expect(200);
            number += 1;
        }
    }));
    let copy = async {
        let archive = backup(&server, &id).await;
        is_over.set(true);
        archive
    };
    let (_, archive) = tokio::join!(writers, copy);

    // What was stored afterwards goes, and so do objects that were not there.
    ask(&server, "/object-0/alarm?ms=500000").await;
    ask(&server, "/object-1/alarm?ms=500000").await;
    increment(&server, "later").await;
    let alarm = async |name: &str| inspect(&server, &id, name).await["result"]["alarm"].clone();
    let [first, second] = [alarm("object-0").await, alarm("object-1").await];
    let mut socket = server.websocket("counter.localhost", "/object-2").await;
    let restored = restore(&server, &id, archive.clone()).await.expect(200).json();
    assert_eq!(restored["result"]["objects"], json!(OBJECTS));
    let closed = within("a close frame", SOON, socket.next()).await;
    assert!(
        matches!(&closed, Some(Message::Close(Some(frame))) if u16::from(frame.code) == 1012),
        "{closed:?}"
    );
    assert_eq!(inspect(&server, &id, "later").await["errors"][0]["code"], json!(10_066));
    assert!(first.as_u64() < alarm("object-0").await.as_u64() && second.is_u64());
    assert_eq!(alarm("object-1").await, Value::Null);
    for number in 0..OBJECTS {
        assert!(1 < increment(&server, &format!("object-{number}")).await);
    }
    assert_eq!(increment(&server, "later").await, 1);

    for (what, damaged) in spoilt(&archive) {
        let refused = restore(&server, &id, damaged).await;
        assert_eq!(refused.status, 400, "{what}: {}", refused.text());
    }
    let mut other = counter("one");
    other.name = "other".to_owned();
    server.deploy(&other).await;
    let namespaces = server.api(Method::GET, NAMESPACES, None).await.expect(200).json();
    let listed = namespaces["result"].as_array().expect("a list").iter();
    let elsewhere = listed.map(|row| row["id"].as_str().expect("an id")).find(|other| *other != id);
    let refused = restore(&server, elsewhere.expect("another"), archive).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("can be restored into no other"), "{}", refused.text());
    assert_eq!(increment(&server, "later").await, 2, "nothing has changed");
    let left = fs::read_dir(server.folder().path().join("durable-objects/transfers")).expect("the folder");
    assert_eq!(left.count(), 0, "nothing is left of refused archives");
    server.stop().await;
}

#[tokio::test]
async fn a_crash_during_a_restore_leaves_the_old_objects_or_the_restored_ones() {
    let folder = Arc::new(DataFolder::new());
    let (fault, mut points) = (folder.path().join("fault"), Vec::new());
    let start = || {
        let variable = fault.to_str().expect("text").to_owned();
        Server::builder().folder(&folder).env("SKERRY_FAULT_FILE", &variable).start()
    };
    let server = start().await;
    server.deploy(&counter("one")).await;
    for name in ["a", "b"] {
        increment(&server, name).await;
    }
    let id = namespace(&server).await;
    let archive = backup(&server, &id).await;
    server.stop().await;
    for passage in 1..PASSAGES_MAX {
        let server = start().await;
        let old = increment(&server, "a").await;
        assert_eq!(increment(&server, "b").await, old);
        fs::write(&fault, passage.to_string()).expect("arm the fault");
        if try_restore(&server, &id, archive.clone()).await {
            fs::remove_file(&fault).expect("the fault is still armed");
            assert_eq!([increment(&server, "a").await, increment(&server, "b").await], [2, 2]);
            assert_eq!(points, ["durable-objects: restore staged", "durable-objects: restored"]);
            server.stop().await;
            return;
        }
        let line = server.log().wait_for("fault point `", SOON).await;
        points.push(line.split('`').nth(1).expect("the point's name").to_owned());
        server.kill().await;
        let server = start().await;
        let now = [increment(&server, "a").await, increment(&server, "b").await];
        assert!(now == [2, 2] || now == [old + 1, old + 1], "{now:?} of {old} after a crash at {points:?}");
        server.deploy(&updated_counter("two")).await;
        assert_eq!(increment(&server, "a").await, now[0] + 1);
        increment(&server, "b").await;
        server.stop().await;
    }
    panic!("the restore did not come to its end: {points:?}");
}

const NAMESPACES: &str = "/accounts/{account}/workers/durable_objects/namespaces";

async fn backup(server: &Server, id: &str) -> Bytes {
    let answer = server.api(Method::GET, &format!("{NAMESPACES}/{id}/backup"), None).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/x-tar");
    answer.body
}

async fn restore(server: &Server, id: &str, archive: Bytes) -> Answer {
    let request = server.api_request(Method::POST, &format!("{NAMESPACES}/{id}/restore"));
    send(server.api_address(), request.body(archive).expect("a valid path")).await
}

/// Whether it was answered before the server crashed.
async fn try_restore(server: &Server, id: &str, archive: Bytes) -> bool {
    let request = server.api_request(Method::POST, &format!("{NAMESPACES}/{id}/restore"));
    let request = request.body(Full::new(archive)).expect("a valid path");
    let answer = Client::to_api(server).send("restore", request).await;
    answer.is_some_and(|answer| answer.expect(200).status == 200)
}

async fn inspect(server: &Server, id: &str, name: &str) -> Value {
    server.api(Method::GET, &format!("{NAMESPACES}/{id}/objects/{name}"), None).await.json()
}

/// Archives that are none, or not whole.
fn spoilt(archive: &Bytes) -> Vec<(&'static str, Bytes)> {
    let block = 512;
    let flipped = |position: usize| {
        let mut bytes = archive.to_vec();
        bytes[position] ^= 1;
        Bytes::from(bytes)
    };
    let name = b"objects/";
    let first_object = archive.windows(name.len()).position(|window| window == name).expect("an object");
    let mut renamed = archive.to_vec();
    renamed[first_object..first_object + 11].copy_from_slice(b"../../../..");
    vec![
        ("nothing", Bytes::new()),
        ("no archive", Bytes::from_static(b"once upon a time")),
        ("cut within a file", archive.slice(..archive.len() / 2)),
        ("cut before the manifest", archive.slice(..archive.len() - 4 * block)),
        ("a bit of an object", flipped(first_object + block + 100)),
        ("another name", flipped(first_object + 20)),
        ("a name that leads elsewhere", renamed.into()),
        ("two archives", [archive.slice(..archive.len() - 2 * block), archive.clone()].concat().into()),
    ]
}
