//! `skerry urls`: where each Worker answers, with our port, which wrangler does not print.

use http::Method;
use serde_json::{Value, json};
use settings::Environment;

use super::data_folder;
use crate::{api::Api, arguments::Urls, failure::Failure, printer};

/// All zones on one page.
const ZONES_MAX: usize = 1_000;

/// Where one Worker answers.
struct Row {
    script: String,
    url: Option<String>,
    domains: Vec<String>,
    routes: Vec<String>,
}

/// Prints each Worker with its own URL, its custom domains and its routes, one to a line.
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
    let domains = api.call(Method::GET, &api.in_account("/workers/domains"), None).await?;
    let routes = all_routes(&api).await?;
    let mut rows = Vec::new();
    for name in wanted {
        let worker =
            api.call(Method::GET, &api.in_account(&format!("/workers/workers/{name}")), None).await?;
        let hosts = texts(domains.as_array().into_iter().flatten(), "service", name, "hostname");
        rows.push(Row {
            script: name.to_owned(),
            url: own_url(&worker["subdomain"], &api.addresses.http),
            domains: hosts.map(|host| url(host, &api.addresses.http)).collect(),
            routes: texts(routes.iter(), "script", name, "pattern").map(str::to_owned).collect(),
        });
    }
    if arguments.json {
        let list: Vec<_> = rows.iter().map(answer).collect();
        printer::line(json!(list));
    } else if rows.is_empty() {
        printer::note("no Worker is deployed");
        printer::hint("in a project folder: eval \"$(skerry env)\" && npx wrangler deploy");
    } else {
        printer::table(&rows.into_iter().flat_map(lines).collect::<Vec<_>>());
    }
    Ok(())
}

/// The routes of all zones.
async fn all_routes(api: &Api) -> Result<Vec<Value>, Failure> {
    let zones = api.call(Method::GET, &format!("/zones?per_page={ZONES_MAX}"), None).await?;
    let mut routes = Vec::new();
    for id in zones.as_array().into_iter().flatten().filter_map(|zone| zone["id"].as_str()) {
        let of_zone = api.call(Method::GET, &format!("/zones/{id}/workers/routes"), None).await?;
        routes.extend(of_zone.as_array().cloned().unwrap_or_default());
    }
    Ok(routes)
}

/// What the rows of one Worker have under `field`.
fn texts<'a>(
    rows: impl Iterator<Item = &'a Value>,
    key: &'static str,
    script: &str,
    field: &'static str,
) -> impl Iterator<Item = &'a str> {
    rows.filter(move |row| row[key] == script).filter_map(move |row| row[field].as_str())
}

fn answer(row: &Row) -> Value {
    json!({"script": row.script, "url": row.url, "domains": row.domains, "routes": row.routes})
}

/// The Worker's name stands on its first line only.
fn lines(row: Row) -> Vec<Vec<String>> {
    let routes = row.routes.into_iter().map(|pattern| format!("{pattern} (route)"));
    let mut places: Vec<String> = row.url.into_iter().chain(row.domains).chain(routes).collect();
    if places.is_empty() {
        places.push("its workers.dev route is disabled".to_owned());
    }
    let names = std::iter::once(row.script).chain(std::iter::repeat(String::new()));
    names.zip(places).map(|(name, place)| vec![name, place]).collect()
}

/// The Worker's host with the port of the public door, unless it is switched off.
fn own_url(subdomain: &Value, http: &str) -> Option<String> {
    let host = subdomain["url"].as_str()?.split_once("://")?.1.trim_end_matches('/');
    subdomain["enabled"].as_bool().unwrap_or_default().then(|| url(host, http))
}

fn url(host: &str, http: &str) -> String {
    match http.rsplit_once(':').map(|(_, port)| port).filter(|port| *port != "80") {
        Some(port) => format!("http://{host}:{port}"),
        None => format!("http://{host}"),
    }
}
