//! The floor rule: a crate depends on lower floors only (`cli → platform → products → base`), and products never on each
//! other. The floor is the first folder of a crate's path.

use cargo_metadata::{DependencyKind, Metadata, Package};

/// Products that may know another product: each line needs a decision record.
const PRODUCT_EDGES: &[(&str, &str)] = &[];

/// The one product that the platform may know: the register of what should run.
const REGISTER: &str = "workers";

/// The only crate that names all products.
const SERVER: &str = "server";

/// Measures rooms over sockets of its own, without the server and workerd in front of them.
const BENCH: &str = "bench";

/// The order inside `base` and `platform`: a crate depends on smaller numbers of its own floor only.
const LEVELS: &[(&str, u8)] = &[
    ("model", 0),
    ("tasks", 0),
    ("settings", 1),
    ("store", 1),
    ("telemetry", 1),
    ("v4", 1),
    ("workerd-wire", 1),
    ("product", 2),
    ("engine", 0),
    ("control-plane", 1),
    ("egress", 1),
    ("ingress", 1),
    ("acme", 2),
    ("server", 3),
];

/// Every edge between two crates of ours that breaks the rule.
pub(crate) fn problems(graph: &Metadata) -> Vec<String> {
    let members = graph.workspace_packages();
    let mut problems = Vec::new();
    for package in &members {
        let from = Place::of(graph, package);
        for dependency in &package.dependencies {
            let Some(target) = members.iter().find(|member| *member.name == dependency.name) else {
                continue;
            };
            let to = Place::of(graph, target);
            if let Some(reason) = objection(&from, &to, dependency.kind) {
                problems.push(format!("{from} → {to}: {reason}", from = from.path(), to = to.path()));
            }
        }
    }
    problems
}

#[derive(Debug, Clone)]
struct Place {
    floor: String,
    name: String,
}

impl Place {
    fn of(graph: &Metadata, package: &Package) -> Self {
        let relative =
            package.manifest_path.strip_prefix(&graph.workspace_root).unwrap_or(&package.manifest_path);
        let floor = relative.components().next().map_or_else(String::new, |folder| folder.to_string());
        Self { floor, name: package.name.to_string() }
    }

    fn path(&self) -> String {
        if self.floor == self.name { self.name.clone() } else { format!("{}/{}", self.floor, self.name) }
    }

    fn level(&self) -> Option<u8> {
        LEVELS.iter().find(|(name, _)| *name == self.name).map(|(_, level)| *level)
    }
}

fn objection(from: &Place, to: &Place, kind: DependencyKind) -> Option<&'static str> {
    let is_dev = kind == DependencyKind::Development;
    match (from.floor.as_str(), to.floor.as_str()) {
        ("testing", "testing") => None,
        (_, "testing") if is_dev && (from.floor == "cli" || from.name == SERVER) => None,
        (_, "testing") => Some("only the dev-dependencies of `cli` and `server` may name testing"),
        ("testing" | "xtask", "base") | ("cli", "platform" | "base") => None,
        ("testing", "products") if from.name == BENCH => None,
        ("testing" | "xtask", _) => Some("testing speaks to the built server through its doors"),
        ("cli", _) => Some("the command line knows the platform, not the products"),
        ("platform", "products") if from.name == SERVER || to.name == REGISTER => None,
        ("platform", "products") => Some("only `server` names all products"),
        ("platform" | "products", "base") => None,
        ("products", "products") if is_declared(from, to) => None,
        ("products", "products") => Some("products never depend on each other"),
        ("platform", "platform") | ("base", "base") => level_objection(from, to),
        _ => Some("a crate depends on lower floors only"),
    }
}

fn is_declared(from: &Place, to: &Place) -> bool {
    PRODUCT_EDGES.iter().any(|(user, used)| *user == from.name && *used == to.name)
}

fn level_objection(from: &Place, to: &Place) -> Option<&'static str> {
    match (from.level(), to.level()) {
        (Some(user), Some(used)) if used < user => None,
        (Some(_), Some(_)) => Some("inside a floor, a crate depends on lower levels only"),
        _ => Some("give the crate a level in xtask/src/floors.rs"),
    }
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind::{Development, Normal};

    use super::*;

    #[test]
    fn the_workspace_keeps_to_its_floors() {
        let problems = problems(&crate::graph::load().unwrap());
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn an_edge_that_breaks_the_rule_is_found() {
        let place = |path: &str| {
            let (floor, name) = path.split_once('/').unwrap_or((path, path));
            Place { floor: floor.into(), name: name.into() }
        };
        let check = |from: &str, to: &str, kind| objection(&place(from), &place(to), kind).is_none();
        assert!(check("products/kv", "base/store", Normal));
        assert!(!check("products/kv", "products/workers", Normal));
        assert!(!check("base/store", "products/kv", Normal));
        assert!(check("platform/server", "products/kv", Normal));
        assert!(check("platform/ingress", "products/workers", Normal));
        assert!(!check("platform/ingress", "products/kv", Normal));
        assert!(!check("platform/engine", "platform/ingress", Normal));
        assert!(check("platform/ingress", "platform/engine", Normal));
        assert!(!check("base/model", "base/store", Normal));
        assert!(check("testing/bench", "products/kv", Normal));
        assert!(!check("testing/testkit", "products/kv", Normal));
        assert!(check("cli", "testing/testkit", Development));
        assert!(!check("cli", "testing/testkit", Normal));
        assert!(!check("products/kv", "testing/testkit", Development));
        assert!(!check("cli", "products/kv", Normal));
        assert!(!check("base/model", "base/unheard-of", Normal));
    }
}
