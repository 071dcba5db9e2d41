//! The gate in a process's configuration: one service of ours beside the Worker. To the process of a Worker that uses objects which
//! another process runs, it is the classes behind the Worker's namespaces; to the process that runs them, the way in. What both
//! sides say to each other is in `gate.js`; who may come in is decided by the server, which stands between them.

use model::{BindingKind, ObjectNamespaceId, ObjectTarget, WorkerVersion};
use workerd_wire::{
    Binding, BindingValue, Designator, DurableObjectDesignator, DurableObjectNamespace, DurableObjectStorage,
    Module, ModuleContent, Worker, WorkerCode,
};

/// The gate's service.
pub(crate) const SERVICE: &str = "skerry:gate";

const SOURCE: &str = include_str!("gate.js");
const SOURCE_NAME: &str = "gate.js";
/// What the gate's code is written for: the newest that the pinned workerd knows, so that exceptions keep all they have.
const COMPATIBILITY_DATE: &str = "2026-11-01";
/// The exported class that lets others in.
const ENTRYPOINT: &str = "Gate";

/// Texts that must outlive the encoding.
pub(crate) struct Gate<'a> {
    /// The main module.
    main: String,
    out: Vec<Out<'a>>,
    within: Vec<Within<'a>>,
}

/// A namespace whose objects another process runs.
struct Out<'a> {
    namespace: &'a ObjectNamespaceId,
    /// The class that stands for theirs; also the gate's binding to where they are.
    class: String,
    /// The service of the first of the Worker's bindings to it.
    service: &'a str,
}

/// A namespace whose objects this process runs, and which others can reach.
struct Within<'a> {
    namespace: &'a ObjectNamespaceId,
    class: &'a str,
    props: String,
}

impl<'a> Gate<'a> {
    /// `services` are the external services behind the version's bindings; `within` those of its own namespaces that can be
    /// reached from outside.
    pub(crate) fn new(
        version: &'a WorkerVersion,
        services: impl Iterator<Item = Option<&'a str>>,
        within: &[ObjectNamespaceId],
    ) -> Self {
        let mut out: Vec<Out<'a>> = Vec::new();
        for (binding, service) in version.bindings.iter().zip(services) {
            if let BindingKind::ObjectClass(ObjectTarget { namespace: Some(namespace), .. }) = &binding.kind
                && let Some(service) = service
                && out.iter().all(|known| known.namespace != namespace)
            {
                out.push(Out { namespace, class: class_of(namespace), service });
            }
        }
        let classes = version.objects.iter().flat_map(|objects| &objects.classes);
        let classes = classes.filter(|class| within.contains(&class.namespace));
        let within = classes.map(|class| {
            let props = serde_json::json!({ "namespace": class.namespace }).to_string();
            Within { namespace: &class.namespace, class: &class.name, props }
        });
        let proxied = out.iter().map(|out| format!("export const {0} = proxied(\"{0}\");\n", out.class));
        let main = format!(
            "import {{ proxied }} from \"{SOURCE_NAME}\";\nexport {{ {ENTRYPOINT} }} from \"{SOURCE_NAME}\";\n{}",
            proxied.collect::<String>()
        );
        Self { main, within: within.collect(), out }
    }

    /// Whether nothing passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.within.is_empty()
    }

    /// The Worker of ours; `script` is the service whose objects others reach.
    pub(crate) fn worker(&'a self, script: &'a str, outbound: Designator<'a>) -> Worker<'a> {
        let out = self.out.iter().map(|out| Binding {
            name: &out.class,
            value: BindingValue::Service(Designator { name: out.service, entrypoint: None, props: None }),
        });
        let within = self.within.iter().map(|within| Binding {
            name: within.namespace.as_str(),
            value: BindingValue::DurableObjectNamespace(DurableObjectDesignator {
                class_name: within.class,
                service_name: Some(script),
            }),
        });
        let classes = self.out.iter().map(|out| DurableObjectNamespace {
            class_name: &out.class,
            // The same ids as in the owner's process.
            unique_key: out.namespace.as_str(),
            prevent_eviction: false,
            enable_sql: false,
        });
        Worker {
            code: WorkerCode::Modules(vec![
                Module { name: "main.js", content: ModuleContent::EsModule(&self.main) },
                Module { name: SOURCE_NAME, content: ModuleContent::EsModule(SOURCE) },
            ]),
            compatibility_date: COMPATIBILITY_DATE,
            bindings: out.chain(within).collect(),
            global_outbound: Some(outbound),
            durable_object_namespaces: classes.collect(),
            durable_object_storage: DurableObjectStorage::InMemory,
            ..Worker::default()
        }
    }

    /// What the namespaces' ways in lead to, in the order of the version's classes.
    pub(crate) fn ways_in(&self) -> impl Iterator<Item = Designator<'_>> {
        self.within.iter().map(|within| Designator {
            name: SERVICE,
            entrypoint: Some(ENTRYPOINT),
            props: Some(&within.props),
        })
    }

    /// The class behind a namespace.
    pub(crate) fn class(&self, namespace: &ObjectNamespaceId) -> Option<DurableObjectDesignator<'_>> {
        let out = self.out.iter().find(|out| out.namespace == namespace)?;
        Some(DurableObjectDesignator { class_name: &out.class, service_name: Some(SERVICE) })
    }
}

fn class_of(namespace: &ObjectNamespaceId) -> String {
    format!("Objects_{namespace}")
}

#[cfg(test)]
mod tests {
    use workerd_wire::headers::{OBJECT_HEADER, THREW_HEADER};

    #[test]
    fn the_source_names_the_headers_that_the_server_knows() {
        for name in [OBJECT_HEADER, THREW_HEADER] {
            assert!(super::SOURCE.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
