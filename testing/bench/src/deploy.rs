//! Deployments under requests: how long until the new version answers, while no request fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use testkit::{Script, Server};
use tokio::task::JoinSet;

use crate::{
    durable,
    load::{Exchanges, Target, now},
    report::median,
};

/// Who asks all the time, and how often: 200 requests a second together.
const VISITORS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How long visitors ask before and after a replacement.
const CALM: Duration = Duration::from_millis(300);

/// How long the new version may take to be seen at all.
const LIMIT: Duration = Duration::from_secs(30);

/// The median time from the upload of a version to its first answer, upload included, in milliseconds. A request that
/// fails is an error.
pub(crate) async fn until_seen_ms(count: usize) -> anyhow::Result<f64> {
    let server = Server::start().await;
    server.deploy(&version(0)).await;
    let target = Target::get(server.http(), "app.localhost", "/");
    let mut visitors = visitors(&target, &Arc::default());
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

/// The longest answer of a Durable Object around a replacement of its process, which keeps requests waiting: the median of
/// some replacements, in milliseconds. A request that fails is an error.
pub(crate) async fn longest_answer_ms(count: usize) -> anyhow::Result<f64> {
    let server = Server::start().await;
    server.deploy(&durable::first_version()).await;
    let target = Target::get(server.http(), durable::HOST, "/write/visited");
    let mut figures = Vec::new();
    for number in 1..=count {
        let is_over = Arc::<AtomicBool>::default();
        let visitors = visitors(&target, &is_over);
        tokio::time::sleep(CALM).await;
        server.deploy(&durable::version(number)).await;
        until_seen(&server, durable::HOST, "/release", number).await?;
        tokio::time::sleep(CALM).await;
        is_over.store(true, Ordering::Relaxed);
        let longest = visitors.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let longest = longest.into_iter().max().context("there are visitors")?;
        figures.push(longest.as_secs_f64() * 1000.0);
    }
    Ok(median(figures))
}

async fn deploy(server: &Server, number: usize) -> anyhow::Result<f64> {
    let begun = now();
    server.deploy(&version(number)).await;
    until_seen(server, "app.localhost", "/", number).await?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

async fn until_seen(server: &Server, host: &str, path: &str, number: usize) -> anyhow::Result<()> {
    let begun = now();
    while server.get(host, path).await.expect(200).text() != number.to_string() {
        ensure!(begun.elapsed() < LIMIT, "version {number} was not seen");
    }
    Ok(())
}

fn visitors(target: &Target, is_over: &Arc<AtomicBool>) -> JoinSet<anyhow::Result<Duration>> {
    (0..VISITORS).map(|_| visit(target.clone(), Arc::clone(is_over))).collect()
}

/// Asks until it is over or a request fails; the longest that an answer took.
async fn visit(target: Target, is_over: Arc<AtomicBool>) -> anyhow::Result<Duration> {
    let mut exchanges = Exchanges::open(&target).await;
    let mut pace = tokio::time::interval(PAUSE);
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        pace.tick().await;
        let asked = now();
        exchanges.next().await?;
        longest = longest.max(asked.elapsed());
    }
    Ok(longest)
}

fn version(number: usize) -> Script {
    Script::module("app", &format!("export default {{ fetch() {{ return new Response('{number}'); }} }};"))
}
