//! `skerry kv export`: pages of keys, and the values of each page. A key that changes meanwhile is exported as one of the
//! two; one that goes meanwhile is left out.

use std::io::{BufWriter, Write};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::record::{Listed, Record};
use crate::{api::Api, failure::Failure, printer};

/// Values asked for at once; each has at most 25 MiB.
const VALUES_AT_ONCE: usize = 4;

#[derive(Deserialize)]
struct Page {
    result: Vec<Listed>,
    result_info: PageInfo,
}

#[derive(Deserialize)]
struct PageInfo {
    #[serde(default)]
    cursor: String,
}

/// Writes every key of the namespace at `path` to standard output.
pub(super) async fn run(api: &Api, path: &str) -> Result<(), Failure> {
    let mut output = BufWriter::new(std::io::stdout().lock());
    let (mut cursor, mut count) = (String::new(), 0_u64);
    loop {
        let page = page(api, path, &cursor).await?;
        let mut records = stream::iter(page.result.into_iter().map(|listed| read(api, path, listed)))
            .buffered(VALUES_AT_ONCE);
        while let Some(record) = records.try_next().await? {
            let Some(record) = record else { continue };
            write(&mut output, &record)?;
            count += 1;
        }
        cursor = page.result_info.cursor;
        if cursor.is_empty() {
            break;
        }
    }
    output.flush().map_err(unwritten)?;
    printer::note(format_args!("exported {count} keys"));
    Ok(())
}

async fn page(api: &Api, path: &str, cursor: &str) -> Result<Page, Failure> {
    let path = format!("{path}/keys?limit=1000&cursor={cursor}");
    let page = api.ask(Method::GET, &path, Bytes::new()).await?;
    serde_json::from_slice(&page).map_err(|error| Failure::doing("read a page of keys", error))
}

/// Reads the value of a key, unless it is gone.
async fn read(api: &Api, path: &str, listed: Listed) -> Result<Option<Record>, Failure> {
    let name = utf8_percent_encode(&listed.name, NON_ALPHANUMERIC);
    let value = api.read(&format!("{path}/values/{name}")).await?;
    Ok(value.map(|value| Record::new(listed, &value)))
}

fn write(output: &mut impl Write, record: &Record) -> Result<(), Failure> {
    serde_json::to_writer(&mut *output, record).map_err(|error| unwritten(error.into()))?;
    output.write_all(b"\n").map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Failure {
    Failure::doing("write the export", error).hint("what was written so far is not the whole namespace")
}
