//! Deployments under requests: how long until the new version answers, while no request fails.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::{Script, Server};
use tokio::task::JoinSet;

use crate::{
    load::{Exchanges, Target, now},
    report::median,
};

/// Who asks all the time, and how often: 200 requests a second together.
const VISITORS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How long the new version may take to be seen at all.
const LIMIT: Duration = Duration::from_secs(30);

/// The median time from the upload of a version to its first answer, upload included, in milliseconds. A request that
/// fails is an error.
pub(crate) async fn until_seen_ms(count: usize) -> anyhow::Result<f64> {
    let server = Server::start().await;
    server.deploy(&version(0)).await;
    let target = Target::get(server.http(), "app.localhost", "/");
    let mut visitors = JoinSet::new();
    for _ in 0..VISITORS {
        visitors.spawn(visit(target.clone()));
    }
    let mut figures = Vec::new();
    for number in 1..=count {
        tokio::select! {
            figure = deploy(&server, number) => figures.push(figure?),
            failed = visitors.join_next() => {
                failed.context("the visitors are gone")???;
            }
        }
    }
    Ok(median(figures))
}

async fn deploy(server: &Server, number: usize) -> anyhow::Result<f64> {
    let begun = now();
    server.deploy(&version(number)).await;
    while server.get("app.localhost", "/").await.expect(200).text() != number.to_string() {
        ensure!(begun.elapsed() < LIMIT, "version {number} was not seen");
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Asks until a request fails.
async fn visit(target: Target) -> anyhow::Result<()> {
    let mut exchanges = Exchanges::open(&target).await;
    let mut pace = tokio::time::interval(PAUSE);
    loop {
        pace.tick().await;
        exchanges.next().await?;
    }
}

fn version(number: usize) -> Script {
    Script::module("app", &format!("export default {{ fetch() {{ return new Response('{number}'); }} }};"))
}
