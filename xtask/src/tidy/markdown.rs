//! Rules for documents: one title each, and no link that leads nowhere.

use std::path::Path;

use super::File;

pub(super) fn problems(root: &Path, files: &[File]) -> Vec<String> {
    files.iter().filter(|file| file.is("md")).flat_map(|file| document_problems(root, file)).collect()
}

fn document_problems(root: &Path, file: &File) -> Vec<String> {
    let prose = prose(&file.text);
    let mut problems = Vec::new();
    let titles = prose.iter().filter(|line| line.starts_with("# ")).count();
    if titles != 1 {
        problems.push(format!(
            "{}: has {titles} lines that begin with `# `; a document has one title",
            file.path
        ));
    }
    let folder = root.join(&file.path).parent().map(Path::to_owned).unwrap_or_default();
    for target in prose.iter().flat_map(|line| links(line)) {
        let path = target.split('#').next().unwrap_or_default();
        let is_elsewhere = path.contains("://") || path.starts_with("mailto:");
        if !path.is_empty() && !is_elsewhere && !folder.join(path).exists() {
            problems.push(format!("{}: dead link `{target}`", file.path));
        }
    }
    problems
}

/// The lines outside code fences.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line);
        }
    }
    lines
}

/// The targets of `[text](target)` in a line, code spans left out.
fn links(line: &str) -> Vec<&str> {
    let plain = line.split('`').step_by(2);
    plain.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_only() {
        assert_eq!(links("see [a](b.md), [c](d/e.md#f) and `[x](y.md)`"), ["b.md", "d/e.md#f"]);
        assert_eq!(links("[`code`](a.md)"), ["a.md"]);
    }
}
