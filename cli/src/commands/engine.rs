//! `skerry engine install`.

use settings::Environment;

use super::data_folder;
use crate::{arguments::Engine, failure::Failure, printer};

/// Installs the pinned engine.
pub(crate) fn run(arguments: &Engine) -> Result<(), Failure> {
    let Engine::Install { data } = arguments;
    let data = data_folder(data, &Environment::read())?;
    let program = engine::install(&data).map_err(|error| Failure::from_error(&error))?;
    printer::line(program.display());
    Ok(())
}
