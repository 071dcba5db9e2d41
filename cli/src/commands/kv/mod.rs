//! `skerry kv`: whole namespaces as text, over the v4 API. What a line holds is in `record`.

mod export;
mod import;
mod record;

use http::Method;
use serde_json::Value;
use settings::Environment;

use super::data_folder;
use crate::{api::Api, arguments::Kv, failure::Failure};

/// All namespaces that an account may have, on one page.
const NAMESPACES_MAX: usize = 1_000;

/// Exports or imports.
pub(crate) async fn run(arguments: Kv) -> Result<(), Failure> {
    let (Kv::Export { namespace, data } | Kv::Import { namespace, data, .. }) = &arguments;
    let api = Api::find(&data_folder(data, &Environment::read())?)?;
    let path = find(&api, namespace).await?;
    match arguments {
        Kv::Export { .. } => export::run(&api, &path).await,
        Kv::Import { file, .. } => import::run(&api, &path, file.as_deref()).await,
    }
}

/// The path of the namespace of that title or id.
async fn find(api: &Api, namespace: &str) -> Result<String, Failure> {
    let namespaces = api.in_account("/storage/kv/namespaces");
    let all = api.call(Method::GET, &format!("{namespaces}?per_page={NAMESPACES_MAX}"), None).await?;
    let is_it = |found: &&Value| found["title"] == namespace || found["id"] == namespace;
    let found = all.as_array().into_iter().flatten().find(is_it).and_then(|found| found["id"].as_str());
    let id = found.ok_or_else(|| {
        Failure::new(format!("no KV namespace has the title or id `{namespace}`"))
            .hint("`npx wrangler kv namespace list` shows all")
    })?;
    Ok(format!("{namespaces}/{id}"))
}
