//! The reference side: one Node process that runs Miniflare, given the options of one case after the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use testkit::{Clients, command};

use crate::case::{Binding, Case, FileKind, Format};

/// The running reference. It ends with its standard input.
#[derive(Debug)]
pub(crate) struct Reference {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Reference {
    pub(crate) fn start() -> Self {
        let clients = Clients::find();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.mjs");
        let mut child = command(clients.node())
            .arg(script)
            .arg(clients.modules())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start Node for the reference");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self { child, input, output }
    }

    /// Runs the case's Worker in place of the last one; it answers at the returned `host:port`.
    pub(crate) fn load(&mut self, case: &Case) -> Result<String, String> {
        let input = self.input.as_mut().expect("the input is there until the end");
        writeln!(input, "{}", options(case)).map_err(|error| format!("the reference has ended: {error}"))?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| format!("read from the reference: {error}"))?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| format!("the reference said `{line}`: {error}"))?;
        let origin =
            answer["url"].as_str().ok_or_else(|| answer["error"].as_str().unwrap_or(&line).to_owned())?;
        Ok(origin.trim_start_matches("http://").to_owned())
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.input = None;
        // It stops its workerd before it ends.
        let _ = self.child.wait();
    }
}

fn options(case: &Case) -> Value {
    let description = &case.description;
    let mut options = json!({
        "name": case.script(),
        "compatibilityDate": description.compatibility_date,
        "compatibilityFlags": description.compatibility_flags,
    });
    match description.format {
        Format::Modules => {
            options["modulesRoot"] = json!("/case");
            options["modules"] =
                case.files.iter().map(|file| module(&file.name, file.kind, &file.content)).collect();
        }
        Format::ServiceWorker => options["script"] = String::from_utf8_lossy(&case.files[0].content).into(),
    }
    let (mut namespaces, mut buckets, mut databases, mut objects, mut values) =
        (Map::new(), Map::new(), Map::new(), Map::new(), Map::new());
    for (name, binding) in &description.bindings {
        let name = name.clone();
        match binding {
            // A namespace of its own for each case: Miniflare keeps them in memory between cases.
            Binding::Kv => {
                let namespace = format!("{}-{name}", case.script());
                namespaces.insert(name, namespace.into());
            }
            Binding::R2 => {
                let bucket = format!("{}-{name}", case.script());
                buckets.insert(name, bucket.into());
            }
            Binding::D1 => {
                let database = format!("{}-{name}", case.script());
                databases.insert(name, database.into());
            }
            Binding::Object(class) => {
                objects.insert(name, json!({ "className": class, "useSQLite": true }));
            }
            Binding::ObjectElsewhere(class) => {
                let owner = case.owner_script();
                objects.insert(name, json!({ "className": class, "scriptName": owner, "useSQLite": true }));
            }
            Binding::Text(text) => {
                values.insert(name, text.clone().into());
            }
            Binding::Json(value) => {
                values.insert(name, value.clone());
            }
            Binding::VersionMetadata => options["versionMetadata"] = name.into(),
        }
    }
    options["kvNamespaces"] = namespaces.into();
    options["r2Buckets"] = buckets.into();
    options["d1Databases"] = databases.into();
    options["durableObjects"] = objects.into();
    options["bindings"] = values.into();
    match owner(case) {
        // The first answers.
        Some(owner) => json!({ "workers": [options, owner] }),
        None => options,
    }
}

/// The case's second Worker.
fn owner(case: &Case) -> Option<Value> {
    let file = case.owner.as_ref()?;
    let classes = case.owner_classes();
    let objects = classes.map(|class| (class.to_owned(), json!({ "className": class, "useSQLite": true })));
    Some(json!({
        "name": case.owner_script(),
        "compatibilityDate": case.description.compatibility_date,
        "compatibilityFlags": case.description.compatibility_flags,
        "modulesRoot": "/case",
        "modules": [module(&file.name, file.kind, &file.content)],
        "durableObjects": objects.collect::<Map<_, _>>(),
    }))
}

fn module(name: &str, kind: FileKind, content: &[u8]) -> Value {
    let kind = match kind {
        FileKind::Script => "ESModule",
        FileKind::Text => "Text",
        FileKind::Data => "Data",
        FileKind::Wasm => "CompiledWasm",
    };
    json!({ "type": kind, "path": format!("/case/{name}"), "contents": BASE64_STANDARD.encode(content) })
}
