//! The shape of Cloudflare's REST answers: envelope, errors, paging and uploads. It knows no route.

mod envelope;
mod error;

pub use envelope::{Envelope, ResultInfo};
pub use error::{ApiError, Principal, code};
