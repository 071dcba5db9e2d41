//! Holds our messages against the pinned workerd. Without that program these tests fail: they never pass unproven.

mod agreement;
#[path = "../../src/config_capnp.rs"]
mod config_capnp;
mod served;
mod workerd;
