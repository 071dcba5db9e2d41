//! Rules for source files: how they open, how long they are, what they are called, what must not be left in them.

use super::File;

/// How a file says what it owns: itself, or a crate's root by its README.
const OPENINGS: &[&str] = &["//!", "#![doc = include_str!(\"../README.md\")]"];

/// A file stops here; tests at its foot are not counted.
const LINES_MAX: usize = 800;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "types", "util", "utils"];

/// Words that mark unfinished work; written in halves so that this file does not hold them.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimplemented", "!(")];

/// Hosts of package registries; written in halves likewise. Which mirror a machine uses is its own business.
const REGISTRIES: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("registry.yarn", "pkg.com"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("files.python", "hosted.org"),
];

pub(super) fn problems(files: &[File]) -> Vec<String> {
    files.iter().filter(|file| !file.path.contains("/generated/")).flat_map(file_problems).collect()
}

fn file_problems(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |what: String| problems.push(format!("{}: {what}", file.path));
    if file.is("rs") {
        if !OPENINGS.iter().any(|opening| file.text.starts_with(opening)) {
            report("must begin with `//!` and one sentence that says what it owns".into());
        }
        let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if LINES_MAX < lines {
            report(format!("has {lines} lines before its tests; a file stops at {LINES_MAX}"));
        }
        let stem = file.name().trim_end_matches(".rs");
        let folder = file.path.rsplit('/').nth(1).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) || EMPTY_NAMES.contains(&folder) {
            report("the name says nothing of what is inside".into());
        }
    }
    let is_source = ["rs", "js", "mjs", "ts", "toml", "md", "jsonc"].iter().any(|kind| file.is(kind));
    if is_source && let Some(word) = UNFINISHED.iter().find(|word| file.text.contains(**word)) {
        report(format!("`{word}` is unfinished work; finish it, or write an issue"));
    }
    if let Some(host) = REGISTRIES.iter().find(|host| file.text.contains(**host)) {
        report(format!("names the registry {host}"));
    }
    if file.name() == "package-lock.json" && file.text.contains("\"resolved\"") {
        report("names a registry; write it with `npm install --omit-lockfile-registry-resolved`".into());
    }
    problems
}
