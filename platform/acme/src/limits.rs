//! Every limit of the room, and where its figure comes from.

use std::time::Duration;

/// How long one request to the ACME server may take, from the connection to the last byte. Ours.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer of an ACME server. Ours: a chain of certificates has some 5 KiB.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// How long the ACME server may take to validate a host, and again to issue. Ours.
pub const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause before an order is looked at first; it doubles. Ours; what the server asks for (`Retry-After`) comes before it.
pub const POLL_FIRST: Duration = Duration::from_millis(250);

/// How long one try may take. Ours.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(180);

/// Orders that one try may place, when the server refuses its own nonces or has lost our account. Ours; below that, instant-acme
/// repeats each request twice.
pub const ORDERS_A_TRY_MAX: u32 = 3;

/// Orders at once. Ours: one host that cannot be validated does not hold up the others.
pub const ORDERS_AT_ONCE: usize = 4;

/// Hosts that have a certificate. Ours: each costs about 10 KiB.
pub const HOSTS_MAX: usize = 1_000;

/// Hosts of Workers below the base domain (Let's Encrypt: 50 certificates for a registered domain in 7 days).
pub const WORKER_HOSTS_MAX: usize = 50;

/// Pauses after the first failure in a row, the second, and so on; the last one stays. In the first hour four tries, below
/// the five failures for a host and hour that Let's Encrypt allows.
pub const PAUSES_SECS: [u64; 8] = [60, 5 * 60, 15 * 60, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 24 * 3_600];

/// The shortest pause when the server says that a limit of its own is reached (Let's Encrypt's shortest window is an hour).
pub const RATE_LIMITED_PAUSE_SECS: u64 = 3_600;

/// How often it is looked whether something is due, at least: the wall clock may be set. Ours.
pub const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// What is kept of an error's text: an ACME server writes a part of it. Ours.
pub const ERROR_CHARS_MAX: usize = 1_000;
