//! Every limit of the public door, and where its figure comes from. What a person may set is in [`crate::Settings`].

use std::time::Duration;

/// Connections at once on one listener; further ones wait in the kernel's queue. Ours: an idle one costs about 20 KiB.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Largest request line and headers together (Cloudflare: Workers limits page, 128 KB).
pub const HEADER_BYTES_MAX: usize = 128 * 1024;

/// Longest path and query (Cloudflare: Workers limits page, 16 KB).
pub const URI_BYTES_MAX: usize = 16 * 1024;

/// Largest request body (Cloudflare: Workers limits page, 500 MB on its largest self-service tier).
pub const BODY_BYTES_MAX: u64 = 500 * 1000 * 1000;

/// Longest host name (RFC 1035).
pub const HOST_NAME_BYTES_MAX: usize = 253;

/// How long a client may take for the headers of one request. Ours.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is kept between two requests (Cloudflare: connection limits page, 400 s).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(400);

/// How long requests and WebSockets may go on after the server was asked to stop; below the 30 s of `skerry serve`.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a client that takes no byte, or that is not there any more, keeps its connection. Ours.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the rest of what a client sends is read and thrown away after the last answer, so that the answer arrives
/// before the kernel resets the connection; also how long the second half of a WebSocket may outlive the first. Ours.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a TLS handshake may take. Ours.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS handshakes at once, counted from the client's first message. Ours: each keeps some 20 KiB and asks for CPU.
pub const HANDSHAKES_MAX: usize = 1024;

/// TLS 1.2 sessions that can be resumed without a ticket; all others carry their state themselves. Ours.
pub const TLS_SESSIONS_MAX: usize = 1024;

/// Hosts whose development certificates are kept; they are named by visitors. Ours: each costs about 4 KiB.
pub const DEVELOPMENT_HOSTS_MAX: usize = 1024;

/// How often the files of certificates are looked at for a change. Ours.
pub const CERTIFICATE_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Pause after the system refused a connection for want of memory or file descriptors. Ours.
pub const ACCEPT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// HTTP/2 requests at once on one connection. Ours; Cloudflare announces 100.
pub const STREAMS_MAX: u32 = 250;

/// What one HTTP/2 request, and one HTTP/2 connection, may have on its way to a Worker that does not read. Ours.
pub const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;

/// What one HTTP/2 answer may have waiting for a client that does not read. Ours.
pub const HTTP2_SEND_BYTES_MAX: usize = 64 * 1024;

/// What is carried at a time in each direction of a WebSocket; at rest it holds none of it. Ours.
pub const WEBSOCKET_BUFFER_BYTES: usize = 8 * 1024;

/// How often a request is offered to a process while none has received a byte of it. Ours.
pub const SEND_ATTEMPTS_MAX: u32 = 3;

/// How often a GET or HEAD whose process died without an answer is repeated. Once only: a request that kills its
/// process should not kill three. Ours.
pub const REPEATS_MAX: u32 = 1;

/// How many Workers one request may pass through (Cloudflare: Workers errors page, loop limit).
pub const INVOCATIONS_MAX: u32 = 16;

/// What a client is told to wait before it tries again while the engine is down. Ours.
pub const RETRY_AFTER_SECS: u32 = 5;
