//! The table: what was measured against what, and whether it meets its target.
#![expect(clippy::print_stdout, reason = "this is the report of a command-line tool")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use testkit::{Clients, command};

use crate::{
    Plan,
    load::CONNECTIONS,
    rows::{Row, Target},
    sides::{Side, Unit},
};

/// The table in Markdown.
pub(crate) fn table(rows: &[&Row], figures: &BTreeMap<Side, f64>) -> String {
    let mut table =
        String::from("| What | Ours | The other | Result | Target | Met |\n|---|---:|---:|---:|---:|---|\n");
    for row in rows {
        let Some(&ours) = figures.get(&row.ours) else { continue };
        let other = row.other.and_then(|side| Some((side, *figures.get(&side)?)));
        let (result, target, met) = judge(row, ours, other.map_or(f64::NAN, |(_, figure)| figure));
        let ours = figure(row.ours, ours);
        let other = other.map_or_else(String::new, |(side, value)| figure(side, value));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} | {ours} | {other} | {result} | {target} | {met} |", row.what);
    }
    table
}

/// What came out, what was promised, and whether that was met.
fn judge(row: &Row, ours: f64, other: f64) -> (String, String, &'static str) {
    let said = |is_met| if is_met { "yes" } else { "**no**" };
    let ratio = format!("{:.2}×", ours / other);
    match row.target {
        Target::RatioMin(least) => (ratio, format!("≥ {least:.2}×"), said(least <= ours / other)),
        Target::AddedMsMax(most) => {
            (format!("+{:.1} ms", ours - other), format!("≤ {most:.0} ms"), said(ours - other <= most))
        }
        Target::Min(least) => (String::new(), format!("≥ {}", figure(row.ours, least)), said(least <= ours)),
        Target::Max(most) => (String::new(), format!("≤ {}", figure(row.ours, most)), said(ours <= most)),
        Target::Reported => (ratio, String::new(), ""),
    }
}

/// Prints the table.
pub(crate) fn print(table: &str) {
    println!("\n{table}");
}

/// Prints one measurement.
pub(crate) fn progress(round: usize, side: Side, value: f64) {
    println!("round {round:>2}  {side:<12}  {}", figure(side, value), side = format!("{side:?}"));
}

/// Writes the record with date, versions and machine.
pub(crate) fn write(path: &Path, table: &str, plan: Plan) -> anyhow::Result<()> {
    let date = time::OffsetDateTime::now_utc().date();
    let Plan { rounds, round, cold_starts, keys: _ } = plan;
    let text = format!(
        "# Benchmarks

Written by `cargo xtask bench` on {date}. All sides ran at the same time on one machine and were measured in turns:
{rounds} rounds of {seconds} s each with {CONNECTIONS} keep-alive connections, {cold_starts} cold starts in turns and as many deployments. A figure is the median; a result is
the ratio (or the difference) of two medians. Read the results: the figures belong to this machine. How each side is
started: [testing/bench](../testing/bench/README.md).

{table}
| | |
|---|---|
| Machine | {machine} |
| Files of all sides | {files} |
| Skerry | {skerry}, release build |
| workerd | {workerd} |
| wrangler dev | 4.164.0 |
",
        seconds = round.as_secs(),
        machine = machine(),
        files = first_line("stat", &["-f", "-c", "%T", &std::env::temp_dir().to_string_lossy()]),
        skerry = first_line("git", &["describe", "--always", "--dirty"]),
        workerd = first_line(&Clients::find().workerd().to_string_lossy(), &["--version"]),
    );
    fs::create_dir_all(path.parent().unwrap_or(path)).context("create the folder of the record")?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// The middle of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn figure(side: Side, value: f64) -> String {
    match side.unit() {
        Unit::PerSecond => format!("{value:.0}/s"),
        Unit::Milliseconds => format!("{value:.1} ms"),
        Unit::Kibibytes => format!("{value:.1} KiB"),
        Unit::Mebibytes => format!("{value:.1} MiB"),
    }
}

fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {}", first_line("uname", &["-sr"]))
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = command(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
