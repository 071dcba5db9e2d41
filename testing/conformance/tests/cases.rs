//! Every case in `cases/` is answered alike by the reference and by us.

use std::process::ExitCode;

use conformance::{Selection, run};

#[tokio::main]
async fn main() -> ExitCode {
    let selection = Selection::from_arguments(std::env::args().skip(1));
    if run(&selection).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
