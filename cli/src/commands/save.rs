//! Saves what the API gives in a file. The name that was asked for is there when all of it is on the disk.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{api::Api, failure::Failure};

/// Writes what lies at `path` into `file`; how many bytes that were.
pub(crate) async fn save(api: &Api, path: &str, file: &Path) -> Result<u64, Failure> {
    let partial = partial_beside(file);
    let saved = save_as(api, path, &partial, file).await;
    if saved.is_err() {
        // What is left of it is of no use; that it was not made is no matter.
        let _ = fs::remove_file(&partial);
    }
    saved
}

async fn save_as(api: &Api, path: &str, partial: &Path, file: &Path) -> Result<u64, Failure> {
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
