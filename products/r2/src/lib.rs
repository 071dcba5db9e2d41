//! Buckets of objects: workerd's protocol, the v4 routes and the S3 API over one store. The room's README says what it
//! promises and where it differs from Cloudflare.

mod error;
mod model;
mod store;

use error::R2Error;
