//! `skerry r2 scrub`: reads every object and names those that are not what was written.

use http::Method;
use serde_json::{Value, json};
use settings::Environment;

use super::data_folder;
use crate::{api::Api, arguments::R2, failure::Failure, printer};

/// Buckets of one page.
const PAGE_BUCKETS: usize = 1_000;

/// Looks at one bucket, or at all.
pub(crate) async fn run(arguments: R2) -> Result<(), Failure> {
    let R2::Scrub { bucket, data } = arguments;
    let api = Api::find(&data_folder(&data, &Environment::read())?)?;
    let buckets = match bucket {
        Some(bucket) => vec![bucket],
        None => all(&api).await?,
    };
    let (mut objects, mut bytes, mut damaged) = (0, 0, 0);
    for bucket in &buckets {
        let path = api.in_account(&format!("/r2/buckets/{bucket}/scrub"));
        let mut after = Value::Null;
        loop {
            let found = api.call(Method::POST, &path, Some(json!({ "after": after }))).await?;
            for damage in found["damaged"].as_array().into_iter().flatten() {
                damaged += 1;
                let text = |name: &str| damage[name].as_str().unwrap_or_default().to_owned();
                printer::line(format_args!("{bucket}/{}: {}", text("key"), text("cause")));
            }
            objects += found["objects"].as_u64().unwrap_or(0);
            bytes += found["bytes"].as_u64().unwrap_or(0);
            after = found["next"].clone();
            if after.is_null() {
                break;
            }
            printer::note(format_args!("{objects} objects, {} MiB read", bytes / 1024 / 1024));
        }
    }
    let seen = format!("{objects} objects of {} buckets, {} MiB", buckets.len(), bytes / 1024 / 1024);
    if damaged == 0 {
        printer::note(format_args!("no damage in {seen}"));
        return Ok(());
    }
    Err(Failure::new(format!("{damaged} damaged objects among {seen}"))
        .hint("write them again or restore their files from a backup; all others are served as before"))
}

/// The names of all buckets.
async fn all(api: &Api) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let path = api.in_account(&format!("/r2/buckets?per_page={PAGE_BUCKETS}&start_after={after}"));
        let page = api.call(Method::GET, &path, None).await?;
        let found = page["buckets"].as_array().into_iter().flatten();
        let found: Vec<_> = found.filter_map(|bucket| bucket["name"].as_str().map(str::to_owned)).collect();
        let is_last = found.len() < PAGE_BUCKETS;
        names.extend(found);
        if is_last {
            return Ok(names);
        }
    }
}
