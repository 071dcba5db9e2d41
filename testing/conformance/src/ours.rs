//! Our side: one server for all cases, each deployed through the v4 API as a script of its own.

use http::Method;
use serde_json::{Value, json};
use testkit::{Module, Script, Server};

use crate::case::{Binding, Case, FileKind, Format};

/// Deploys the case's Worker; it answers at the case's host.
pub(crate) async fn deploy(server: &Server, case: &Case) -> Result<(), String> {
    let script = script(server, case).await?;
    for script in owner(case).iter().chain([&script]) {
        let answer = server.try_deploy(script).await;
        if !answer.status.is_success() {
            return Err(format!(
                "the upload of {} was answered {}: {}",
                script.name,
                answer.status,
                answer.text()
            ));
        }
    }
    let path = format!("/accounts/{{account}}/workers/scripts/{}/subdomain", script.name);
    let answer = server.api(Method::POST, &path, Some(&json!({ "enabled": true }))).await;
    if !answer.status.is_success() {
        return Err(format!("the host was refused with {}: {}", answer.status, answer.text()));
    }
    Ok(())
}

/// The case's second Worker.
fn owner(case: &Case) -> Option<Script> {
    let file = case.owner.as_ref()?;
    let classes: Vec<&str> = case.owner_classes().collect();
    let metadata = json!({
        "main_module": file.name,
        "compatibility_date": case.description.compatibility_date,
        "compatibility_flags": case.description.compatibility_flags,
        "migrations": { "new_tag": "v1", "new_sqlite_classes": classes },
    });
    let module = Module {
        name: file.name.clone(),
        content_type: content_type(file.kind, Format::Modules).into(),
        content: file.content.clone(),
    };
    Some(Script { name: case.owner_script(), metadata, modules: vec![module] })
}

async fn script(server: &Server, case: &Case) -> Result<Script, String> {
    let description = &case.description;
    let main_key = match description.format {
        Format::Modules => "main_module",
        Format::ServiceWorker => "body_part",
    };
    let (mut bindings, mut classes) = (Vec::new(), Vec::new());
    for (name, binding) in &description.bindings {
        bindings.push(match binding {
            Binding::Kv => {
                let id = namespace(server, &format!("{}-{name}", case.script())).await?;
                json!({ "type": "kv_namespace", "name": name, "namespace_id": id })
            }
            Binding::R2 => {
                json!({ "type": "r2_bucket", "name": name, "bucket_name": bucket(server, case, name).await? })
            }
            Binding::D1 => {
                json!({ "type": "d1", "name": name, "id": database(server, case, name).await? })
            }
            Binding::Object(class) => {
                classes.push(class);
                json!({ "type": "durable_object_namespace", "name": name, "class_name": class })
            }
            Binding::ObjectElsewhere(class) => {
                let owner = case.owner_script();
                json!({ "type": "durable_object_namespace", "name": name, "class_name": class, "script_name": owner })
            }
            Binding::Text(text) => json!({ "type": "plain_text", "name": name, "text": text }),
            Binding::Json(value) => json!({ "type": "json", "name": name, "json": value }),
            Binding::VersionMetadata => json!({ "type": "version_metadata", "name": name }),
        });
    }
    let mut metadata = json!({
        main_key: "worker.js",
        "compatibility_date": description.compatibility_date,
        "compatibility_flags": description.compatibility_flags,
        "bindings": bindings,
    });
    if !classes.is_empty() {
        metadata["migrations"] = json!({ "new_tag": "v1", "new_sqlite_classes": classes });
    }
    let modules = case.files.iter().map(|file| Module {
        name: file.name.clone(),
        content_type: content_type(file.kind, description.format).into(),
        content: file.content.clone(),
    });
    Ok(Script { name: case.script(), metadata, modules: modules.collect() })
}

async fn namespace(server: &Server, title: &str) -> Result<Value, String> {
    let path = "/accounts/{account}/storage/kv/namespaces";
    let answer = server.api(Method::POST, path, Some(&json!({ "title": title }))).await;
    if !answer.status.is_success() {
        return Err(format!("creating a namespace was answered {}: {}", answer.status, answer.text()));
    }
    Ok(answer.json()["result"]["id"].clone())
}

async fn bucket(server: &Server, case: &Case, binding: &str) -> Result<String, String> {
    let name = format!("{}-{binding}", case.script()).to_lowercase().replace('_', "-");
    let answer =
        server.api(Method::POST, "/accounts/{account}/r2/buckets", Some(&json!({ "name": name }))).await;
    if !answer.status.is_success() {
        return Err(format!("creating a bucket was answered {}: {}", answer.status, answer.text()));
    }
    Ok(name)
}

async fn database(server: &Server, case: &Case, binding: &str) -> Result<Value, String> {
    let name = format!("{}-{binding}", case.script());
    let path = "/accounts/{account}/d1/database";
    let answer = server.api(Method::POST, path, Some(&json!({ "name": name }))).await;
    if !answer.status.is_success() {
        return Err(format!("creating a database was answered {}: {}", answer.status, answer.text()));
    }
    Ok(answer.json()["result"]["uuid"].clone())
}

fn content_type(kind: FileKind, format: Format) -> &'static str {
    match (kind, format) {
        (FileKind::Script, Format::Modules) => "application/javascript+module",
        (FileKind::Script, Format::ServiceWorker) => "application/javascript",
        (FileKind::Text, _) => "text/plain",
        (FileKind::Data, _) => "application/octet-stream",
        (FileKind::Wasm, _) => "application/wasm",
    }
}
