//! Writes a [`Config`] as the message that `workerd serve --binary -` reads: one `Config` in unpacked, framed segments.
//! It checks nothing, since workerd does; text travels as it is, without escapes.

mod worker;

use capnp::{message, serialize};

use crate::{
    config::{
        Config, Designator, Disk, Extension, External, HttpOptions, HttpStyle, Network, Service, ServiceKind,
        Socket, TlsOptions,
    },
    config_capnp as wire,
};

/// Encodes a configuration for workerd's stdin.
///
/// # Panics
///
/// If one text, one run of bytes or one list is longer than Cap'n Proto allows (2²⁹ − 1).
#[must_use]
pub fn encode(config: &Config<'_>) -> Vec<u8> {
    let mut message = message::Builder::new_default();
    let mut target = message.init_root::<wire::config::Builder<'_>>();
    let mut services = target.reborrow().init_services(count(&config.services));
    for (index, service) in (0..).zip(&config.services) {
        write_service(services.reborrow().get(index), service);
    }
    let mut sockets = target.reborrow().init_sockets(count(&config.sockets));
    for (index, socket) in (0..).zip(&config.sockets) {
        write_socket(sockets.reborrow().get(index), socket);
    }
    if !config.v8_flags.is_empty() {
        write_texts(target.reborrow().init_v8_flags(count(&config.v8_flags)), &config.v8_flags);
    }
    if !config.extensions.is_empty() {
        let mut extensions = target.reborrow().init_extensions(count(&config.extensions));
        for (index, extension) in (0..).zip(&config.extensions) {
            write_extension(extensions.reborrow().get(index), extension);
        }
    }
    if config.structured_logging {
        target.init_logging().set_structured_logging(true);
    }
    serialize::write_message_to_words(&message)
}

fn write_service(mut target: wire::service::Builder<'_>, service: &Service<'_>) {
    target.set_name(service.name);
    match &service.kind {
        ServiceKind::Worker(worker) => worker::write(target.init_worker(), worker),
        ServiceKind::External(external) => write_external(target.init_external(), external),
        ServiceKind::Disk(disk) => write_disk(target.init_disk(), disk),
        ServiceKind::Network(network) => write_network(target.init_network(), network),
    }
}

fn write_external(mut target: wire::external_server::Builder<'_>, external: &External<'_>) {
    target.set_address(external.address);
    write_http_options(target.init_http(), &external.http);
}

fn write_disk(mut target: wire::disk_directory::Builder<'_>, disk: &Disk<'_>) {
    target.set_path(disk.path);
    target.set_writable(disk.writable);
}

fn write_network(mut target: wire::network::Builder<'_>, network: &Network<'_>) {
    // Written even if empty: without it workerd allows `public`.
    write_texts(target.reborrow().init_allow(count(&network.allow)), &network.allow);
    if !network.deny.is_empty() {
        write_texts(target.reborrow().init_deny(count(&network.deny)), &network.deny);
    }
    if let Some(tls) = &network.tls {
        write_tls_options(target.init_tls_options(), tls);
    }
}

fn write_tls_options(mut target: wire::tls_options::Builder<'_>, tls: &TlsOptions<'_>) {
    target.set_trust_browser_cas(tls.trust_browser_authorities);
    if !tls.trusted_certificates.is_empty() {
        let certificates = target.init_trusted_certificates(count(&tls.trusted_certificates));
        write_texts(certificates, &tls.trusted_certificates);
    }
}

fn write_socket(mut target: wire::socket::Builder<'_>, socket: &Socket<'_>) {
    target.set_name(socket.name);
    if !socket.address.is_empty() {
        target.set_address(socket.address);
    }
    write_http_options(target.reborrow().init_http(), &socket.http);
    write_designator(target.init_service(), &socket.service);
}

fn write_http_options(mut target: wire::http_options::Builder<'_>, http: &HttpOptions<'_>) {
    target.set_style(match http.style {
        HttpStyle::Host => wire::http_options::Style::Host,
        HttpStyle::Proxy => wire::http_options::Style::Proxy,
    });
    if let Some(name) = http.forwarded_proto_header {
        target.set_forwarded_proto_header(name);
    }
    if let Some(name) = http.cf_blob_header {
        target.set_cf_blob_header(name);
    }
    if !http.inject_request_headers.is_empty() {
        let mut headers = target.reborrow().init_inject_request_headers(count(&http.inject_request_headers));
        for (index, (name, value)) in (0..).zip(&http.inject_request_headers) {
            let mut header = headers.reborrow().get(index);
            header.set_name(*name);
            header.set_value(*value);
        }
    }
    if let Some(host) = http.capnp_connect_host {
        target.set_capnp_connect_host(host);
    }
}

fn write_extension(target: wire::extension::Builder<'_>, extension: &Extension<'_>) {
    let mut modules = target.init_modules(count(&extension.modules));
    for (index, module) in (0..).zip(&extension.modules) {
        let mut target = modules.reborrow().get(index);
        target.set_name(module.name);
        target.set_internal(module.internal);
        target.set_es_module(module.es_module);
    }
}

fn write_designator(mut target: wire::service_designator::Builder<'_>, designator: &Designator<'_>) {
    target.set_name(designator.name);
    if let Some(entrypoint) = designator.entrypoint {
        target.set_entrypoint(entrypoint);
    }
    if let Some(props) = designator.props {
        target.init_props().set_json(props);
    }
}

fn write_texts(mut target: capnp::text_list::Builder<'_>, texts: &[&str]) {
    for (index, text) in (0..).zip(texts) {
        target.set(index, *text);
    }
}

/// A list's length as Cap'n Proto counts.
fn count<Item>(list: &[Item]) -> u32 {
    u32::try_from(list.len()).expect("a list of so many items would not fit into memory")
}

#[cfg(test)]
mod tests {
    use capnp::message::ReaderOptions;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Binding, BindingValue, Module, ModuleContent, Worker, WorkerCode};

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text: String, bytes: Vec<u8>) {
            let message = encode(&config_of(&text, &bytes));

            let message = serialize::read_message(&mut message.as_slice(), ReaderOptions::new()).unwrap();
            let config: wire::config::Reader<'_> = message.get_root().unwrap();
            let service = config.get_services().unwrap().get(0);
            prop_assert_eq!(service.get_name().unwrap(), text.as_str());
            let Ok(wire::service::Worker(Ok(worker))) = service.which() else { panic!("not a Worker") };
            let binding = worker.get_bindings().unwrap().get(0);
            prop_assert_eq!(binding.get_name().unwrap(), text.as_str());
            let Ok(wire::worker::binding::Data(Ok(data))) = binding.which() else { panic!("not data") };
            prop_assert_eq!(data, bytes.as_slice());
            let Ok(wire::worker::Modules(Ok(modules))) = worker.which() else { panic!("not modules") };
            let Ok(wire::worker::module::EsModule(Ok(code))) = modules.get(0).which() else { panic!("no code") };
            prop_assert_eq!(code, text.as_str());
            let socket = config.get_sockets().unwrap().get(0);
            let Ok(wire::socket::Http(Ok(http))) = socket.which() else { panic!("not HTTP") };
            prop_assert_eq!(http.get_inject_request_headers().unwrap().get(0).get_value().unwrap(), text.as_str());
        }
    }

    fn config_of<'a>(text: &'a str, bytes: &'a [u8]) -> Config<'a> {
        let worker = Worker {
            code: WorkerCode::Modules(vec![Module { name: text, content: ModuleContent::EsModule(text) }]),
            compatibility_date: text,
            bindings: vec![Binding { name: text, value: BindingValue::Data(bytes) }],
            ..Worker::default()
        };
        let service = Designator { name: text, entrypoint: Some(text), props: Some(text) };
        let http = HttpOptions { inject_request_headers: vec![(text, text)], ..HttpOptions::default() };
        Config {
            services: vec![Service { name: text, kind: ServiceKind::Worker(Box::new(worker)) }],
            sockets: vec![Socket { name: text, address: text, http, service }],
            v8_flags: vec![text],
            ..Config::default()
        }
    }
}
