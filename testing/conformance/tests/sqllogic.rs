//! SQL in files of sqllogictest is answered alike by miniflare's D1 and by ours. `-- --write` writes what miniflare answers
//! into the files.

use std::process::ExitCode;

use conformance::SqlLogic;

#[tokio::main]
async fn main() -> ExitCode {
    let work = SqlLogic::from_arguments(std::env::args().skip(1));
    if work.run().await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
