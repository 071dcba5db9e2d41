//! How workerd is started to serve a configuration, and what it says on its control pipe.

use std::fmt::Display;

/// The arguments that make it read one binary configuration from stdin.
///
/// `--experimental` lets our own services use what needs it. It also lets user code name any experimental compatibility
/// flag, so uploads must be checked for those.
pub const SERVE_FROM_STDIN: [&str; 4] = ["serve", "--experimental", "--binary", "-"];

/// The same without `--experimental`: it then refuses a configuration whose Worker names an experimental flag.
pub const SERVE_WITHOUT_EXPERIMENTAL: [&str; 3] = ["serve", "--binary", "-"];

/// The argument by which it reports, as lines of JSON, each socket that answers.
#[must_use]
pub fn control_fd(descriptor: impl Display) -> String {
    format!("--control-fd={descriptor}")
}

/// The argument by which it takes over a socket that already listens. The socket's own address does not matter then.
#[must_use]
pub fn socket_fd(socket: &str, descriptor: impl Display) -> String {
    format!("--socket-fd={socket}={descriptor}")
}

/// The value of `event` in the control pipe's line for a socket; `socket` is the name in the configuration.
/// Such a line is `{"event":"listen","socket":"main","port":0}`, the port of Unix sockets being 0.
pub const EVENT_LISTEN: &str = "listen";
