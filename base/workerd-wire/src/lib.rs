//! workerd's side of the wire: its configuration as a binary Cap'n Proto message, the names of its headers, how it is
//! started and which version of it we speak to. Starting it is the engine's.

pub mod command_line;
mod config;
mod config_capnp;
mod encode;
pub mod headers;
mod version;

pub use config::{
    Binding, BindingValue, Config, Designator, Disk, DurableObjectDesignator, DurableObjectNamespace,
    DurableObjectStorage, Extension, ExtensionModule, External, HttpOptions, HttpStyle, Module,
    ModuleContent, Network, Service, ServiceKind, Socket, TlsOptions, Worker, WorkerCode, Wrapped,
};
pub use encode::encode;
pub use version::{NPM_PACKAGE_LINUX_ARM64, NPM_PACKAGE_LINUX_X64, WORKERD_VERSION, WORKERD_VERSION_LINE};
