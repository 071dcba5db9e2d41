//! `skerry d1 backup`: a database as a plain SQLite file.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use settings::Environment;

use super::{data_folder, save::save};
use crate::{api::Api, arguments::D1, failure::Failure, printer};

/// Copies a database.
pub(crate) async fn run(arguments: D1) -> Result<(), Failure> {
    let D1::Backup { database, file, data } = arguments;
    let api = Api::find(&data_folder(&data, &Environment::read())?)?;
    let name = utf8_percent_encode(&database, NON_ALPHANUMERIC);
    let path = api.in_account(&format!("/d1/database/{name}/backup"));
    let bytes = save(&api, &path, &file).await?;
    printer::note(format_args!("{bytes} bytes of `{database}` in {}", file.display()));
    Ok(())
}
