//! One file for each command.

mod d1;
mod doctor;
mod engine;
mod env;
mod kv;
mod objects;
mod r2;
mod save;
mod serve;
mod token;
mod urls;

use std::{future::Future, path::PathBuf};

use settings::Environment;

use crate::{
    arguments::{Arguments, Command, Data},
    failure::Failure,
};

/// Runs what was typed.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Serve(serve) => serve::run(serve),
        Command::Env(env) => env::run(&env),
        Command::Urls(urls) => block_on(urls::run(urls))?,
        Command::Token(token) => block_on(token::run(token))?,
        Command::Kv(kv) => block_on(kv::run(kv))?,
        Command::R2(r2) => block_on(r2::run(r2))?,
        Command::D1(d1) => block_on(d1::run(d1))?,
        Command::Do(objects) => block_on(objects::run(objects))?,
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Engine(engine) => engine::run(&engine),
    }
}

fn data_folder(data: &Data, environment: &Environment) -> Result<PathBuf, Failure> {
    environment.data_folder(data.data.as_deref()).ok_or_else(|| {
        Failure::new("the data folder is not known: neither SKERRY_DATA nor HOME is set")
            .hint("name it with --data")
    })
}

/// Runs a command that talks to the server.
fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::doing("start the runtime", error))?;
    Ok(runtime.block_on(future))
}
