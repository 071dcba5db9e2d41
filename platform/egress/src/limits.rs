//! Every limit of this crate. Those that are fields of `Settings` have their defaults here.

use std::time::Duration;

/// Connections that one version may hold open to us at a time, each carrying one request or one socket; and as many to
/// origins, idle ones included. Own choice: far above what a request may have open on Cloudflare (6, Workers limits
/// page), far below our file descriptors.
pub(crate) const CONNECTIONS_MAX: usize = 1_024;

/// Names that one version may have looked up at a time. Each lookup occupies a thread.
pub(crate) const LOOKUPS_MAX: usize = 16;

/// Addresses of one name that are tried, in the resolver's order; they share the time allowed for connecting.
pub(crate) const ADDRESSES_TRIED_MAX: u32 = 4;

/// Idle connections kept to one origin by one version.
pub(crate) const IDLE_PER_HOST_MAX: usize = 16;

/// How long a connection to an origin is kept without use.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest head of a request or response, and the read buffer of a body (Cloudflare: Workers limits page, header size).
pub(crate) const HEAD_BYTES_MAX: usize = 128 * 1024;

/// Most headers in one head. Cloudflare counts only bytes; hyper's own limit of 100 is easy to meet.
pub(crate) const HEADERS_MAX: usize = 256;

/// Bytes held in each direction while a socket or WebSocket is carried.
pub(crate) const TUNNEL_BUFFER_BYTES: usize = 16 * 1024;

/// Looking up a name and connecting, all its addresses together (Cloudflare: 522 after 19 s).
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The TLS handshake.
pub(crate) const TLS_TIMEOUT: Duration = Duration::from_secs(15);

/// Waiting for a response head while no byte of the request moves (Cloudflare: 524 after 100 s).
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(100);
