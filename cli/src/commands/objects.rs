//! `skerry do`: which Durable Objects there are, and what is in them.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use settings::Environment;

use super::{data_folder, save::save};
use crate::{
    api::Api,
    arguments::{Data, Do},
    failure::Failure,
    printer,
};

/// Below the account.
const NAMESPACES: &str = "/workers/durable_objects/namespaces";
/// Objects of one page.
const PAGE_OBJECTS: usize = 1_000;
/// Namespaces of one page: the most that the API gives.
const PAGE_NAMESPACES: usize = 1_000;

/// Lists, or looks into one.
pub(crate) async fn run(arguments: Do) -> Result<(), Failure> {
    match arguments {
        Do::List { namespace: None, data, json } => list_namespaces(&api(&data)?, json).await,
        Do::List { namespace: Some(namespace), data, json } => {
            list_objects(&api(&data)?, &namespace, json).await
        }
        Do::Inspect { namespace, object, data } => {
            let api = api(&data)?;
            let path = object_path(&api, &namespace, &object).await?;
            let inside = api.call(Method::GET, &path, None).await?;
            printer::line(format_args!("{inside:#}"));
            Ok(())
        }
        Do::Query { namespace, object, sql, data, json } => {
            let api = api(&data)?;
            let path = format!("{}/query", object_path(&api, &namespace, &object).await?);
            let found = api.call(Method::POST, &path, Some(json!({ "sql": sql }))).await?;
            show_rows(&found, json);
            Ok(())
        }
        Do::Backup { namespace, file, data } => {
            let api = api(&data)?;
            let path = format!("{}/backup", namespace_path(&api, &namespace).await?);
            let bytes = save(&api, &path, &file).await?;
            printer::note(format_args!("{bytes} bytes of `{namespace}` in {}", file.display()));
            Ok(())
        }
        Do::Restore { namespace, file, data } => {
            let api = api(&data)?;
            let path = format!("{}/restore", namespace_path(&api, &namespace).await?);
            let restored = api.send_file(&path, &file).await?;
            printer::note(format_args!("{} objects of `{namespace}` restored", restored["objects"]));
            Ok(())
        }
    }
}

fn api(data: &Data) -> Result<Api, Failure> {
    Api::find(&data_folder(data, &Environment::read())?)
}

async fn list_namespaces(api: &Api, is_json: bool) -> Result<(), Failure> {
    let mut rows = vec![["NAMESPACE", "ID", "SQL"].map(str::to_owned).to_vec()];
    for namespace in namespaces(api).await? {
        if is_json {
            printer::line(&namespace);
            continue;
        }
        let has_sql = if namespace["use_sqlite"] == true { "yes" } else { "no" };
        rows.push(vec![full_name(&namespace), text(&namespace["id"]), has_sql.to_owned()]);
    }
    if !is_json {
        printer::table(&rows);
    }
    Ok(())
}

async fn list_objects(api: &Api, namespace: &str, is_json: bool) -> Result<(), Failure> {
    let path = format!("{}/objects", namespace_path(api, namespace).await?);
    let mut cursor = String::new();
    loop {
        let page = format!("{path}?limit={PAGE_OBJECTS}&cursor={cursor}");
        let answer = api.ask(Method::GET, &page, bytes::Bytes::new()).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|cause| Failure::doing(&page, cause))?;
        for object in answer["result"].as_array().into_iter().flatten() {
            if is_json {
                printer::line(object);
            } else {
                printer::line(text(&object["id"]));
            }
        }
        cursor = text(&answer["result_info"]["cursor"]);
        if cursor.is_empty() {
            return Ok(());
        }
    }
}

fn show_rows(found: &Value, is_json: bool) {
    let columns: Vec<String> = found["columns"].as_array().into_iter().flatten().map(text).collect();
    let rows = || found["rows"].as_array().into_iter().flatten().filter_map(Value::as_array);
    if is_json {
        for row in rows() {
            let row: Map<String, Value> = columns.iter().cloned().zip(row.iter().cloned()).collect();
            printer::line(Value::Object(row));
        }
    } else {
        let cells = rows().map(|row| row.iter().map(text).collect());
        printer::table(&std::iter::once(columns).chain(cells).collect::<Vec<_>>());
    }
    if found["is_cut"] == true {
        printer::note(
            "there are more rows than one answer holds: narrow the statement, or add LIMIT and OFFSET",
        );
    }
}

async fn object_path(api: &Api, namespace: &str, object: &str) -> Result<String, Failure> {
    let object = utf8_percent_encode(object, NON_ALPHANUMERIC);
    Ok(format!("{}/objects/{object}", namespace_path(api, namespace).await?))
}

/// The path of a namespace that is named by Worker and class, or by its id.
async fn namespace_path(api: &Api, namespace: &str) -> Result<String, Failure> {
    let all = namespaces(api).await?;
    let found = all.iter().find(|known| known["id"] == namespace || full_name(known) == namespace);
    let id = found.map(|found| text(&found["id"])).ok_or_else(|| {
        Failure::new(format!("no Durable Object namespace `{namespace}`")).hint("`skerry do list` shows them")
    })?;
    Ok(api.in_account(&format!("{NAMESPACES}/{id}")))
}

async fn namespaces(api: &Api) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for page in 1.. {
        let path = api.in_account(&format!("{NAMESPACES}?per_page={PAGE_NAMESPACES}&page={page}"));
        let answer = api.call(Method::GET, &path, None).await?;
        let rows = answer.as_array().cloned().unwrap_or_default();
        let is_last = rows.len() < PAGE_NAMESPACES;
        all.extend(rows);
        if is_last {
            break;
        }
    }
    Ok(all)
}

fn full_name(namespace: &Value) -> String {
    format!("{}/{}", text(&namespace["script"]), text(&namespace["class"]))
}

/// Text as it is, everything else as JSON.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}
