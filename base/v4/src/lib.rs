//! The shape of Cloudflare's REST answers: envelope, errors, paging and uploads. It knows no route.

mod envelope;
mod error;
mod extract;
mod moment;
mod multipart;
mod paging;
mod route;

pub use envelope::{Envelope, Message, ResultInfo};
pub use error::{ACCOUNT_NAME, ApiError, OWNER_EMAIL, Principal, code};
pub use extract::{Json, Path, Query};
pub use moment::rfc3339;
pub use multipart::{IncomingPart, MultipartLimits, MultipartStream, Part, read_multipart};
pub use paging::{PER_PAGE_DEFAULT, PER_PAGE_MAX, Paging};
pub use route::{no_route, raw_segments, wrong_method};
