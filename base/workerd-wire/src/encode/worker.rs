//! Writes what belongs to a Worker: its code, its bindings and its Durable Objects.

use super::{count, write_designator, write_texts};
use crate::{
    config::{
        Binding, BindingValue, DurableObjectNamespace, DurableObjectStorage, Module, ModuleContent, Worker,
        WorkerCode,
    },
    config_capnp::worker as wire,
};

pub(super) fn write(mut target: wire::Builder<'_>, worker: &Worker<'_>) {
    match &worker.code {
        WorkerCode::Modules(modules) => {
            let mut list = target.reborrow().init_modules(count(modules));
            for (index, module) in (0..).zip(modules) {
                write_module(list.reborrow().get(index), module);
            }
        }
        WorkerCode::ServiceWorker(script) => target.set_service_worker_script(*script),
    }
    target.set_compatibility_date(worker.compatibility_date);
    if !worker.compatibility_flags.is_empty() {
        let flags = target.reborrow().init_compatibility_flags(count(&worker.compatibility_flags));
        write_texts(flags, &worker.compatibility_flags);
    }
    if !worker.bindings.is_empty() {
        write_bindings(target.reborrow().init_bindings(count(&worker.bindings)), &worker.bindings);
    }
    if let Some(outbound) = &worker.global_outbound {
        write_designator(target.reborrow().init_global_outbound(), outbound);
    }
    if let Some(outbound) = &worker.cache_api_outbound {
        write_designator(target.reborrow().init_cache_api_outbound(), outbound);
    }
    write_durable_objects(target.reborrow(), worker);
    if !worker.tails.is_empty() {
        let mut tails = target.init_tails(count(&worker.tails));
        for (index, tail) in (0..).zip(&worker.tails) {
            write_designator(tails.reborrow().get(index), tail);
        }
    }
}

fn write_module(mut target: wire::module::Builder<'_>, module: &Module<'_>) {
    target.set_name(module.name);
    match module.content {
        ModuleContent::EsModule(source) => target.set_es_module(source),
        ModuleContent::CommonJs(source) => target.set_common_js_module(source),
        ModuleContent::Text(text) => target.set_text(text),
        ModuleContent::Data(bytes) => target.set_data(bytes),
        ModuleContent::Wasm(bytes) => target.set_wasm(bytes),
        ModuleContent::Json(text) => target.set_json(text),
        ModuleContent::Python(source) => target.set_python_module(source),
        ModuleContent::PythonRequirement(name) => target.set_python_requirement(name),
    }
}

fn write_bindings(
    mut target: capnp::struct_list::Builder<'_, wire::binding::Owned>,
    bindings: &[Binding<'_>],
) {
    for (index, binding) in (0..).zip(bindings) {
        write_binding(target.reborrow().get(index), binding);
    }
}

fn write_binding(mut target: wire::binding::Builder<'_>, binding: &Binding<'_>) {
    target.set_name(binding.name);
    match &binding.value {
        BindingValue::Text(text) => target.set_text(*text),
        BindingValue::Data(bytes) => target.set_data(bytes),
        BindingValue::Json(text) => target.set_json(*text),
        BindingValue::WasmModule(bytes) => target.set_wasm_module(bytes),
        BindingValue::Service(service) => write_designator(target.init_service(), service),
        BindingValue::KvNamespace(service) => write_designator(target.init_kv_namespace(), service),
        BindingValue::R2Bucket(service) => write_designator(target.init_r2_bucket(), service),
        BindingValue::Queue(service) => write_designator(target.init_queue(), service),
        BindingValue::DurableObjectNamespace(designator) => {
            let mut target = target.init_durable_object_namespace();
            target.set_class_name(designator.class_name);
            if let Some(service) = designator.service_name {
                target.set_service_name(service);
            }
        }
        BindingValue::Wrapped(wrapped) => {
            let mut target = target.init_wrapped();
            target.set_module_name(wrapped.module_name);
            if let Some(entrypoint) = wrapped.entrypoint {
                target.set_entrypoint(entrypoint);
            }
            let inner = target.init_inner_bindings(count(&wrapped.inner_bindings));
            write_bindings(inner, &wrapped.inner_bindings);
        }
    }
}

fn write_durable_objects(mut target: wire::Builder<'_>, worker: &Worker<'_>) {
    if !worker.durable_object_namespaces.is_empty() {
        let length = count(&worker.durable_object_namespaces);
        let mut namespaces = target.reborrow().init_durable_object_namespaces(length);
        for (index, namespace) in (0..).zip(&worker.durable_object_namespaces) {
            write_durable_object_namespace(namespaces.reborrow().get(index), namespace);
        }
    }
    match worker.durable_object_storage {
        DurableObjectStorage::None => {}
        DurableObjectStorage::InMemory => target.init_durable_object_storage().set_in_memory(()),
        DurableObjectStorage::LocalDisk(service) => {
            target.init_durable_object_storage().set_local_disk(service);
        }
    }
}

fn write_durable_object_namespace(
    mut target: wire::durable_object_namespace::Builder<'_>,
    namespace: &DurableObjectNamespace<'_>,
) {
    target.set_class_name(namespace.class_name);
    target.set_unique_key(namespace.unique_key);
    target.set_prevent_eviction(namespace.prevent_eviction);
    target.set_enable_sql(namespace.enable_sql);
}
