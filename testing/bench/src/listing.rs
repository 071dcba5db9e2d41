//! A page of very many objects: R2's binding door, asked without a socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use product::BindingDoor;
use serde_json::{Value, json};
use testkit::DataFolder;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::{
    load::now,
    room::{WRITERS, house},
};

/// Objects of a page.
const PAGE_OBJECTS: usize = 1_000;

/// Pages that are read, at places spread over all objects; the median is told.
const PAGES: usize = 51;

const BUCKET: &str = "bench";

/// Writes `count` objects and reads pages of them; how many milliseconds a page takes.
pub(crate) async fn page_ms(count: usize) -> anyhow::Result<f64> {
    let folder = DataFolder::new();
    let house = house(&folder)?;
    let r2 = r2::open(&house, "localhost").await?.product;
    let bucket = Request::post(format!("/accounts/{}/r2/buckets", house.account))
        .body(Body::from(json!({ "name": BUCKET }).to_string()))?;
    ensure!(r2.rest.oneshot(bucket).await?.status() == 200, "the bucket was not made");
    let door = r2.binding.context("R2 has no binding door")?;
    fill(&door, count).await?;
    let mut taken_ms = Vec::new();
    for page in 0..PAGES {
        let begun = now();
        let answer = list(&door, &key(count * page / (PAGES + 1))).await?;
        taken_ms.push(ms(begun.elapsed()));
        let listed = objects(&answer)?;
        ensure!(listed == PAGE_OBJECTS.min(count), "a page has {listed} objects");
    }
    taken_ms.sort_by(f64::total_cmp);
    Ok(taken_ms[PAGES / 2])
}

async fn fill(door: &BindingDoor, count: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (door, next) = (Arc::clone(door), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if count <= number {
                    return anyhow::Ok(());
                }
                let call = json!({"version": 1, "method": "put", "object": key(number)}).to_string();
                let put = Request::put("/")
                    .header("cf-r2-metadata-size", call.len())
                    .header("content-length", call.len() + 1);
                let answer = door(BUCKET.into(), put.body(Body::from(call + "v"))?).await;
                ensure!(answer.status() == 200, "a put was refused");
            }
        });
    }
    while let Some(outcome) = writers.join_next().await {
        outcome.context("wait for a writer")??;
    }
    Ok(())
}

async fn list(door: &BindingDoor, after: &str) -> anyhow::Result<Bytes> {
    let call = json!({"version": 1, "method": "list", "startAfter": after, "limit": PAGE_OBJECTS});
    let list = Request::get("/").header("cf-r2-request", call.to_string()).body(Body::empty())?;
    let answer = door(BUCKET.into(), list).await;
    ensure!(answer.status() == 200, "a list was refused");
    Ok(answer.into_body().collect().await?.to_bytes())
}

fn objects(page: &[u8]) -> anyhow::Result<usize> {
    let page: Value = serde_json::from_slice(page).context("parse a page")?;
    Ok(page["objects"].as_array().map_or(0, Vec::len))
}

fn key(number: usize) -> String {
    format!("folder-{:03}/object-{number:08}", number / 10_000)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
