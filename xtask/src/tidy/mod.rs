//! Tidiness: properties of the tree itself that no compiler checks. Each rule says what is wrong and where; why it is a rule
//! is in STYLE.md.

mod manifests;
mod markdown;
mod source;

use std::{fs, path::Path};

use anyhow::Context as _;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &[".git", ".wrangler", "node_modules", "target"];

/// A text file of the tree.
pub(crate) struct File {
    /// Relative to the top folder, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Every breach of a rule below `root`.
pub(crate) fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let mut problems = source::problems(&files);
    problems.extend(markdown::problems(root, &files));
    problems.extend(manifests::problems(&files));
    Ok(problems)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("look at {}", path.display()))?;
        if kind.is_dir() {
            if !FOREIGN.contains(&entry.file_name().to_string_lossy().as_ref()) {
                collect(root, &path, files)?;
            }
            continue;
        }
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        // What is not text (an image, a WebAssembly module) has no style.
        let Ok(text) = String::from_utf8(content) else { continue };
        let relative = path.strip_prefix(root).expect("entries lie below the folder that was listed");
        files.push(File { path: relative.to_string_lossy().into_owned(), text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let problems = problems(&crate::step::root()).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    /// What the rules say of a tree of these files, without the paths.
    fn check(tree: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in tree {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        problems(root.path()).unwrap()
    }

    #[test]
    fn each_breach_is_found() {
        let crate_manifest = "[package]\nname = \"thing\"\n[lints]\nworkspace = true\n";
        let clean = [
            ("Cargo.toml", "[workspace.dependencies]\nthing = { path = \"base/thing\" }\n"),
            ("ARCHITECTURE.md", "# Map\n\n`thing` [is](base/thing/README.md) here.\n"),
            ("base/thing/Cargo.toml", crate_manifest),
            ("base/thing/README.md", "# thing\n\nHolds a thing.\n"),
            ("base/thing/src/lib.rs", "//! A thing.\n"),
        ];
        assert_eq!(check(&clean), Vec::<String>::new());
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(801));
        let task = concat!("//! A.\n// TO", "DO later\n");
        let lock = "{\"packages\":{\"a\":{\"resolved\":\"x\"}}}";
        let breaches: &[(&str, &str, &str)] = &[
            ("base/thing/src/a.rs", "fn f() {}\n", "must begin with `//!`"),
            ("base/thing/src/a.rs", &long, "stops at 800"),
            ("base/thing/src/utils.rs", "//! Bits.\n", "says nothing"),
            ("base/thing/src/a.rs", task, "unfinished"),
            ("base/thing/clippy.toml", "", "clippy.toml"),
            ("base/thing/Cargo.toml", "[package]\nname = \"thing\"\n", "lints"),
            ("base/thing/README.md", "", "README.md"),
            ("base/other/Cargo.toml", &crate_manifest.replace("thing", "other"), "ARCHITECTURE.md"),
            ("base/thing/Cargo.toml", &format!("{crate_manifest}[dependencies]\nx = \"1\"\n"), "workspace"),
            ("Cargo.toml", "[workspace.dependencies]\nthing = \"1\"\n", "stranger"),
            ("docs/a.md", "# A\n# B\n", "one title"),
            ("docs/a.md", "# A\n[b](missing.md)\n", "dead link"),
            ("examples/a/package-lock.json", lock, "registry"),
            ("products/thing2/Cargo.toml", crate_manifest, "model"),
        ];
        for (path, text, expected) in breaches {
            let mut tree = clean.to_vec();
            tree.retain(|(name, _)| name != path);
            tree.push((path, text));
            let found = check(&tree).join("\n");
            assert!(found.contains(expected), "{path} should be `{expected}`; found: {found}");
        }
    }
}
