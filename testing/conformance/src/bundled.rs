//! The second reference for KV and for D1: workerd's own.

use std::{fmt::Write as _, fs, time::Duration};

use serde_json::Value;
use testkit::{
    BUNDLED_D1_SERVICES, BUNDLED_FOLDERS, BUNDLED_KV_SERVICES, Background, Clients, DataFolder,
    bundled_d1_binding, command,
};

use crate::case::{Binding, Case, FileKind, Format};

/// How long it may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A workerd that runs one case; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Bundled {
    _process: Background,
    /// Its `host:port`.
    pub(crate) address: String,
}

/// Whether it has all that a case binds: one of the two products, and values.
pub(crate) fn suits(case: &Case) -> bool {
    let products = || {
        let bindings = case.description.bindings.values();
        bindings.filter(|binding| !matches!(binding, Binding::Text(_) | Binding::Json(_)))
    };
    let is_only = |is_of: fn(&Binding) -> bool| products().count() > 0 && products().all(is_of);
    is_only(|binding| matches!(binding, Binding::Kv)) || is_only(|binding| matches!(binding, Binding::D1))
}

impl Bundled {
    pub(crate) async fn start(case: &Case) -> Self {
        let folder = DataFolder::new();
        for file in &case.files {
            fs::write(folder.path().join(&file.name), &file.content).expect("write a file of the case");
        }
        for name in BUNDLED_FOLDERS {
            fs::create_dir(folder.path().join(name)).expect("create a folder for the values");
        }
        let config = folder.path().join("config.capnp");
        fs::write(&config, self::config(case)).expect("write the config");
        let mut serve = command(Clients::find().workerd());
        serve.args(["serve", "--experimental", "--control-fd=1", "--socket-addr=http=127.0.0.1:0"]);
        serve.arg(config).current_dir(folder.path());
        let process = Background::start(serve, folder);
        let line = process.log().wait_for("\"listen\"", START_LIMIT).await;
        let event: Value = serde_json::from_str(&line).expect("workerd announces its port in JSON");
        Self { _process: process, address: format!("127.0.0.1:{}", event["port"]) }
    }
}

fn config(case: &Case) -> String {
    let description = &case.description;
    let code = match description.format {
        Format::ServiceWorker => "serviceWorkerScript = embed \"worker.js\"".to_owned(),
        Format::Modules => {
            let modules = case.files.iter().map(|file| module(&file.name, file.kind));
            format!("modules = [{}]", modules.collect::<Vec<_>>().join(", "))
        }
    };
    let (mut bindings, mut services) = (String::new(), BUNDLED_KV_SERVICES);
    for (name, binding) in &description.bindings {
        let value = match binding {
            Binding::Text(text) => format!("text = {}", quoted(text)),
            Binding::Json(value) => format!("json = {}", quoted(&value.to_string())),
            Binding::D1 => {
                services = BUNDLED_D1_SERVICES;
                bundled_d1_binding(name)
            }
            _ => {
                let props = quoted(&format!("{{\"namespace\":\"{name}\"}}"));
                format!("kvNamespace = (name = \"kv\", props = (json = {props}))")
            }
        };
        // Writing to a string cannot fail.
        let _ = write!(bindings, "(name = \"{name}\", {value}), ");
    }
    let date = &description.compatibility_date;
    let flags =
        description.compatibility_flags.iter().map(|flag| quoted(flag)).collect::<Vec<_>>().join(", ");
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "case", worker = ({code}, bindings = [{bindings}],
      compatibilityDate = "{date}", compatibilityFlags = [{flags}])),
    {services}],
  sockets = [(name = "http", service = "case")]);
"#
    )
}

fn module(name: &str, kind: FileKind) -> String {
    let kind = match kind {
        FileKind::Script => "esModule",
        FileKind::Text => "text",
        FileKind::Data => "data",
        FileKind::Wasm => "wasm",
    };
    format!("(name = {name}, {kind} = embed {name})", name = quoted(name))
}

/// A text in the config; JSON's escapes are Cap'n Proto's, as far as cases need them.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
