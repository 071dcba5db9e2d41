//! Cold starts: how long the first request of a Worker takes when nothing of it runs, on us and on bare workerd.

use std::collections::BTreeMap;

use testkit::{Script, Server};

use crate::{
    load::{Target, now, once},
    report::{median, progress},
    sides::{NOOP, Prepared, Side, Workerd, bare_config},
};

/// The median time to the first answer, in milliseconds, of `count` starts of each side in turns.
pub(crate) async fn starts(count: usize) -> anyhow::Result<BTreeMap<Side, f64>> {
    let server = sleeping(count).await;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for index in 0..count {
        ours.push(our_start(&server, index).await?);
        bare.push(bare_start().await?);
    }
    let figures = BTreeMap::from([(Side::SkerryCold, median(ours)), (Side::BareCold, median(bare))]);
    figures.iter().for_each(|(side, figure)| progress(0, *side, *figure));
    Ok(figures)
}

/// A server with Workers none of which runs: it was stopped after their deployment, and started again.
async fn sleeping(count: usize) -> Server {
    let server = Server::start().await;
    for index in 0..count {
        server.deploy(&Script::module(&name(index), NOOP)).await;
    }
    let folder = server.stop().await;
    Server::builder().folder(&folder).start().await
}

async fn our_start(server: &Server, index: usize) -> anyhow::Result<f64> {
    let host = format!("{}.localhost", name(index));
    let target = Target::get(server.http(), host, "/");
    let begun = now();
    once(&target).await?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

async fn bare_start() -> anyhow::Result<f64> {
    let prepared = Prepared::new(&bare_config(), &[("worker.js", NOOP)])?;
    let begun = now();
    let workerd = Workerd::spawn(prepared).await?;
    once(&workerd.target("/")).await?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

fn name(index: usize) -> String {
    format!("cold-{index}")
}
