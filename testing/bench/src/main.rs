//! `bench`: measures us and the other sides in one run and writes the table of ratios. Which figures are promised is in
//! `rows`; how a side is started is in `sides`.

mod cold;
mod load;
mod report;
mod rows;
mod sides;

use std::{collections::BTreeMap, path::Path, time::Duration};

use clap::Parser;

use crate::{
    rows::{ROWS, Row},
    sides::{Side, Sides},
};

/// Measure our figures against the other side's.
#[derive(Debug, Parser)]
struct Arguments {
    /// One short round; writes nothing
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this
    filter: Option<String>,
}

/// How long and how often each side is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    rounds: usize,
    round: Duration,
    cold_starts: usize,
}

const RECORD: Plan = Plan { rounds: 7, round: Duration::from_secs(2), cold_starts: 20 };
const LOOK: Plan = Plan { rounds: 1, round: Duration::from_secs(1), cold_starts: 3 };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = if arguments.quick { LOOK } else { RECORD };
    let is_wanted =
        |row: &&Row| arguments.filter.as_ref().is_none_or(|filter| row.what.contains(filter.as_str()));
    let rows: Vec<_> = ROWS.iter().filter(is_wanted).collect();
    let mut figures = throughput(&rows, plan).await?;
    if rows.iter().any(|row| row.ours == Side::SkerryCold) {
        figures.extend(cold::starts(plan.cold_starts).await?);
    }
    let table = report::table(&rows, &figures);
    report::print(&table);
    if !arguments.quick && arguments.filter.is_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
        report::write(&path, &table, plan)?;
    }
    Ok(())
}

/// The median rate of each side that a row needs, in requests a second.
async fn throughput(rows: &[&Row], plan: Plan) -> anyhow::Result<BTreeMap<Side, f64>> {
    let mut needed: Vec<_> =
        rows.iter().flat_map(|row| [row.ours, row.other]).filter(Side::is_rate).collect();
    needed.sort_unstable();
    needed.dedup();
    if needed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sides = Sides::start(&needed).await?;
    let mut rates: BTreeMap<Side, Vec<f64>> = BTreeMap::new();
    for &side in &needed {
        // Compiles what the engine compiles when it is hot, fills pools; not counted.
        load::run(&sides.target(side)?, plan.round).await?;
    }
    for round in 0..plan.rounds {
        for &side in &needed {
            let rate = load::run(&sides.target(side)?, plan.round).await?;
            report::progress(round, side, rate);
            rates.entry(side).or_default().push(rate);
        }
    }
    Ok(rates.into_iter().map(|(side, rates)| (side, report::median(rates))).collect())
}
