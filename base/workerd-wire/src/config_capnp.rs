//! The code generated from `schema/config.capnp`: where in the message each field lies. README.md says how to make it.

#![expect(
    clippy::semicolon_if_nothing_returned,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::use_self,
    missing_debug_implementations,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]

include!("../generated/config_capnp.rs");
