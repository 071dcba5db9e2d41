//! workerd's side of the wire: its configuration as a binary Cap'n Proto message, and the names of its headers.

mod config;

pub use config::{
    Binding, BindingValue, Config, Designator, External, HttpOptions, HttpStyle, Module, ModuleContent,
    Service, ServiceKind, Socket, Worker, WorkerCode,
};
