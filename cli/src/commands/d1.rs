//! `skerry d1 backup`: a database as a plain SQLite file. The name that was asked for is there when all of it is on the disk.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use settings::Environment;

use super::data_folder;
use crate::{api::Api, arguments::D1, failure::Failure, printer};

/// Copies a database.
pub(crate) async fn run(arguments: D1) -> Result<(), Failure> {
    let D1::Backup { database, file, data } = arguments;
    let api = Api::find(&data_folder(&data, &Environment::read())?)?;
    let name = utf8_percent_encode(&database, NON_ALPHANUMERIC);
    let path = api.in_account(&format!("/d1/database/{name}/backup"));
    let partial = partial_beside(&file);
    let saved = save(&api, &path, &partial, &file).await;
    if saved.is_err() {
        // What is left of it is of no use; that it was not made is no matter.
        let _ = fs::remove_file(&partial);
    }
    printer::note(format_args!("{} bytes of `{database}` in {}", saved?, file.display()));
    Ok(())
}

async fn save(api: &Api, path: &str, partial: &Path, file: &Path) -> Result<u64, Failure> {
    let failed = |cause: std::io::Error| Failure::doing(format!("write {}", file.display()), cause);
    let mut output = File::create_new(partial).map_err(failed)?;
    let bytes = api.save(path, &mut output).await?;
    output.sync_all().map_err(failed)?;
    fs::rename(partial, file).map_err(failed)?;
    let folder =
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(bytes)
}

fn partial_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    name.into()
}
