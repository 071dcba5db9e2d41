//! `skerry urls`: where each Worker answers, with our port, which wrangler does not print.

use http::Method;
use serde_json::json;
use settings::Environment;

use super::data_folder;
use crate::{api::Api, arguments::Urls, failure::Failure, printer};

/// Prints one line for each Worker.
pub(crate) async fn run(arguments: Urls) -> Result<(), Failure> {
    let data = data_folder(&arguments.data, &Environment::read())?;
    let api = Api::find(&data)?;
    let scripts = api.call(Method::GET, &api.in_account("/workers/scripts"), None).await?;
    let names: Vec<&str> =
        scripts.as_array().into_iter().flatten().filter_map(|script| script["id"].as_str()).collect();
    let wanted: Vec<&str> = match arguments.script.as_deref() {
        Some(script) if !names.contains(&script) => {
            return Err(Failure::new(format!("no Worker named `{script}`")).hint("`skerry urls` shows all"));
        }
        Some(script) => vec![script],
        None => names,
    };
    let mut rows = Vec::new();
    for name in wanted {
        let worker =
            api.call(Method::GET, &api.in_account(&format!("/workers/workers/{name}")), None).await?;
        rows.push((name.to_owned(), url(&worker["subdomain"], &api.addresses.http)));
    }
    if arguments.json {
        let list: Vec<_> = rows.iter().map(|(name, url)| json!({"script": name, "url": url})).collect();
        printer::line(json!(list));
    } else if rows.is_empty() {
        printer::note("no Worker is deployed");
        printer::hint("in a project folder: eval \"$(skerry env)\" && npx wrangler deploy");
    } else {
        let shown = |(name, url): (String, Option<String>)| {
            vec![name, url.unwrap_or_else(|| "its workers.dev route is disabled".to_owned())]
        };
        printer::table(&rows.into_iter().map(shown).collect::<Vec<_>>());
    }
    Ok(())
}

/// The Worker's host with the port of the public door.
fn url(subdomain: &serde_json::Value, http: &str) -> Option<String> {
    let host = subdomain["url"].as_str()?.split_once("://")?.1.trim_end_matches('/');
    let is_enabled = subdomain["enabled"].as_bool().unwrap_or_default();
    let port = http.rsplit_once(':').map(|(_, port)| port).filter(|port| *port != "80");
    is_enabled.then(|| match port {
        Some(port) => format!("http://{host}:{port}"),
        None => format!("http://{host}"),
    })
}
