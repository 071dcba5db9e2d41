//! `cargo xtask`: every developer command. The rules it checks are in `tidy`, `floors` and `dependencies`; what it tests is
//! in the crates themselves.

mod check;
mod clients;
mod demo;
mod dependencies;
mod floors;
mod graph;
mod step;
mod suites;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands for Skerry.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Format, tidiness, floors, dependency policy, clippy and docs: about a minute when warm
    Check,
    /// Everything that CI runs; with the name of a crate, only that crate's tests
    Test {
        /// The crate to test, for example `kv`
        krate: Option<String>,
    },
    /// Run the conformance cases on the reference implementation and on us, and compare
    Conform {
        /// Only cases whose name contains this, for example `kv/` or `kv/list`
        filter: Option<String>,
        /// Only the reference side: whether the case itself is right
        #[arg(long)]
        reference_only: bool,
        /// Print what the reference answers
        #[arg(long)]
        show: bool,
    },
    /// Measure our figures against the other side's and write docs/benchmarks.md
    Bench {
        /// Shorter rounds: a look, not a record; writes nothing
        #[arg(long)]
        quick: bool,
        /// Only rows whose name contains this
        filter: Option<String>,
    },
    /// Build, start a server, deploy an example with the real wrangler and show it answering
    Demo {
        /// Stop after the proof instead of running until Ctrl-C
        #[arg(long)]
        once: bool,
    },
    /// Install the pinned wranglers, Node and engine into target/clients, and what the examples import
    Clients,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check => check::run(),
        Command::Test { krate } => suites::test(krate.as_deref()),
        Command::Conform { filter, reference_only, show } => {
            suites::conform(filter.as_deref(), reference_only, show)
        }
        Command::Bench { quick, filter } => suites::bench(quick, filter.as_deref()),
        Command::Demo { once } => demo::run(once),
        Command::Clients => clients::install_all().and_then(|_| suites::examples()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            step::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
