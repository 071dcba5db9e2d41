//! `bench`: measures us and the other sides in one run and writes the table of ratios. Which figures are promised is in
//! `rows`; how a side is started is in `sides`.

mod asleep;
mod bare;
mod cold;
mod deploy;
mod durable;
mod listing;
mod load;
mod objects;
mod report;
mod room;
mod rows;
mod sides;
mod sql;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use clap::Parser;

use crate::{
    bare::Bare,
    durable::Durable,
    room::Room,
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
    keys: usize,
}

const RECORD: Plan = Plan { rounds: 7, round: Duration::from_secs(2), cold_starts: 20, keys: 1_000_000 };
const LOOK: Plan = Plan { rounds: 1, round: Duration::from_secs(1), cold_starts: 3, keys: 20_000 };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plan = if arguments.quick { LOOK } else { RECORD };
    let is_wanted =
        |row: &&Row| arguments.filter.as_ref().is_none_or(|filter| row.what.contains(filter.as_str()));
    let rows: Vec<_> = ROWS.iter().filter(is_wanted).collect();
    let needed: BTreeSet<_> = rows.iter().flat_map(|row| [Some(row.ours), row.other]).flatten().collect();
    let mut figures = throughput(&needed, plan).await?;
    if needed.contains(&Side::SkerryCold) {
        figures.extend(cold::starts(plan.cold_starts).await?);
    }
    if needed.iter().any(|side| side.is_room()) {
        figures.extend(room_figures(plan).await?);
    }
    if needed.iter().any(|side| side.is_sql()) {
        figures.extend(sql_figures(plan).await?);
    }
    if needed.contains(&Side::ListPage) {
        figures.insert(Side::ListPage, listing::page_ms(plan.keys).await?);
    }
    if needed.contains(&Side::SkerryDeploy) {
        figures.insert(Side::SkerryDeploy, deploy::until_seen_ms(plan.cold_starts).await?);
    }
    if needed.contains(&Side::DurableGap) {
        figures.insert(Side::DurableGap, deploy::longest_answer_ms(plan.cold_starts).await?);
    }
    if needed.iter().any(|side| side.is_of_sockets()) {
        figures.extend(Durable::start().await?.sockets_kib().await?);
    }
    if needed.contains(&Side::SkerryAsleep) {
        figures.insert(Side::SkerryAsleep, asleep::resident_mib().await);
    }
    let table = report::table(&rows, &figures);
    report::print(&table);
    if !arguments.quick && arguments.filter.is_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
        report::write(&path, &table, plan)?;
    }
    Ok(())
}

/// The median rate of each side that answers requests, in requests a second.
async fn throughput(needed: &BTreeSet<Side>, plan: Plan) -> anyhow::Result<BTreeMap<Side, f64>> {
    let needed: Vec<_> = needed.iter().copied().filter(|side| side.is_loaded()).collect();
    if needed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sides = Sides::start(&needed).await?;
    let mut rates = Figures::default();
    for &side in &needed {
        // Compiles what the engine compiles when it is hot, fills pools; not counted.
        sides.rate(side, plan.round).await?;
    }
    for round in 0..plan.rounds {
        for &side in &needed {
            let rate = sides.rate(side, plan.round).await?;
            rates.add(round, side, rate);
        }
    }
    Ok(rates.medians())
}

/// The figures of KV's room without workerd, in turns with the loop around rusqlite.
async fn room_figures(plan: Plan) -> anyhow::Result<BTreeMap<Side, f64>> {
    let (room, bare) = (Room::start().await?, Bare::start()?);
    let mut figures = Figures::default();
    for round in 0..plan.rounds {
        figures.add(round, Side::RoomGet, room.gets(plan.round).await?.rate);
        figures.add(round, Side::BareGet, bare.gets(plan.round)?);
        let puts = room.puts(plan.round).await?;
        figures.add(round, Side::RoomPut, puts.rate);
        figures.add(round, Side::RoomPutP99, puts.p99_ms);
        figures.add(round, Side::BarePut, bare.puts(plan.round)?);
    }
    let volume = room.volume(plan.keys).await?;
    figures.add(0, Side::RoomList, volume.listed_rate);
    figures.add(0, Side::RoomGrowth, volume.grown_mib);
    Ok(figures.medians())
}

/// The figures of D1's room without workerd, likewise.
async fn sql_figures(plan: Plan) -> anyhow::Result<BTreeMap<Side, f64>> {
    let (room, bare) = (sql::Room::start().await?, sql::Bare::start()?);
    let mut figures = Figures::default();
    for round in 0..plan.rounds {
        figures.add(round, Side::SqlSelect, room.selects(plan.round).await?);
        figures.add(round, Side::BareSelect, bare.selects(plan.round)?);
        figures.add(round, Side::SqlBatch, room.batches(plan.round).await?);
        figures.add(round, Side::BareBatch, bare.batches(plan.round)?);
    }
    figures.add(0, Side::SqlColdOpen, room.cold_open_ms(plan.cold_starts).await?);
    Ok(figures.medians())
}

/// What was measured, round by round.
#[derive(Debug, Default)]
struct Figures(BTreeMap<Side, Vec<f64>>);

impl Figures {
    fn add(&mut self, round: usize, side: Side, figure: f64) {
        report::progress(round, side, figure);
        self.0.entry(side).or_default().push(figure);
    }

    fn medians(self) -> BTreeMap<Side, f64> {
        self.0.into_iter().map(|(side, figures)| (side, report::median(figures))).collect()
    }
}
