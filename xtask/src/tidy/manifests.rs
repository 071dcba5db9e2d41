//! Rules for crates: each inherits the workspace's lints and versions, has a README, stands on the map, and a room follows
//! the plan of rooms.

use toml::{Table, Value};

use super::File;

/// The files that every room has, each a file or a folder of that name.
const ROOM: &[&str] = &["lib", "model", "error", "store", "rest"];

/// Where the map of all crates is.
const MAP: &str = "ARCHITECTURE.md";

const ROOT: &str = "Cargo.toml";

pub(super) fn problems(files: &[File]) -> Vec<String> {
    let text_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let manifests: Vec<_> =
        files.iter().filter(|file| file.name() == "Cargo.toml" && file.path != ROOT).collect();
    let map = text_of(MAP).unwrap_or_default();
    let root = text_of(ROOT).map(parse).unwrap_or_default();
    let mut problems = stray_lint_settings(files);
    for manifest in manifests {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        let mut report = |what: String| problems.push(format!("{folder}: {what}"));
        let content = parse(&manifest.text);
        let name = content.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        let Some(name) = name else {
            report("Cargo.toml has no package name".into());
            continue;
        };
        if folder.rsplit('/').next() != Some(name) {
            report(format!("the folder of crate `{name}` must bear its name"));
        }
        if content.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
            report("must inherit the workspace's lints: `[lints] workspace = true`".into());
        }
        if text_of(&format!("{folder}/README.md")).is_none_or(|text| text.trim().is_empty()) {
            report("needs a README.md that opens with its charter".into());
        }
        if !map.contains(&format!("`{name}`")) {
            report(format!("is not on the map in {MAP}"));
        }
        if let Some(used) = own_versions(&content) {
            report(format!("`{used}` must come from the workspace: `{used}.workspace = true`"));
        }
        if is_strangers(&root, name) {
            report(format!(
                "`{name}` in the root manifest has no `path`: cargo would take a stranger's crate"
            ));
        }
        if folder.starts_with("products/") {
            let missing = ROOM.iter().filter(|part| !has_part(files, folder, part));
            missing.for_each(|part| report(format!("a room has {part}.rs or {part}/mod.rs")));
        }
    }
    problems
}

/// A crate's own clippy.toml does not add to the root's, it replaces it: every ban would be gone.
fn stray_lint_settings(files: &[File]) -> Vec<String> {
    let is_stray =
        |file: &&File| ["clippy.toml", ".clippy.toml"].contains(&file.name()) && file.path != "clippy.toml";
    let describe =
        |file: &File| format!("{}: only the root has a clippy.toml; another one replaces it", file.path);
    files.iter().filter(is_stray).map(describe).collect()
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_default()
}

fn own_versions(manifest: &Table) -> Option<String> {
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let entries = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten();
    let is_own = |entry: &Value| entry.get("workspace") != Some(&Value::Boolean(true));
    entries.filter(|(_, entry)| is_own(entry)).map(|(name, _)| name.clone()).next()
}

fn is_strangers(root: &Table, name: &str) -> bool {
    let entry = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(|dependencies| dependencies.get(name));
    entry.is_some_and(|entry| entry.get("path").is_none())
}

fn has_part(files: &[File], folder: &str, part: &str) -> bool {
    let candidates = [format!("{folder}/src/{part}.rs"), format!("{folder}/src/{part}/mod.rs")];
    files.iter().any(|file| candidates.contains(&file.path))
}
