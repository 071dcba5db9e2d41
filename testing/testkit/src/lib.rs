//! A whole server in a temporary folder on free ports, with a log watcher and the real clients. It knows the product only
//! through its doors; what is asserted is the tests' business.

mod bundled;
mod clients;
mod deploy;
mod folder;
mod http_client;
mod log;
mod process;
mod programs;
mod project;
mod server;
mod skip;
mod wait;
mod websocket;
mod wrangler;

pub use bundled::{BUNDLED_D1_SERVICES, BUNDLED_FOLDERS, BUNDLED_KV_SERVICES, bundled_d1_binding};
pub use clients::{Clients, SERVER_VARIABLE};
pub use deploy::{Module, Script};
pub use folder::DataFolder;
pub use http_client::{Answer, Connection, RawAnswer, raw_exchange, send};
pub use log::Log;
pub use process::{Background, Process, anonymous_bytes, children_of, command, resident_bytes};
pub use project::Project;
pub use server::{Addresses, Server, ServerBuilder};
pub use skip::skip;
pub use wait::{wait_until, within};
pub use websocket::{Message, WebSocket};
pub use wrangler::{Finished, Wrangler, WranglerCommand};
