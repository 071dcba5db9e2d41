//! The one binary: words typed in a terminal become calls on the server or the API.

mod api;
mod arguments;
mod commands;
mod failure;
mod printer;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer::failure(&failure);
            ExitCode::FAILURE
        }
    }
}
