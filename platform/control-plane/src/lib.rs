//! The v4 door: authenticates, authorises, counts, mounts each product's routes, answers in the v4 envelope.

mod authenticate;
mod graphql;
mod identity;
mod patience;
mod router;
mod scope;
mod serve;
mod tokens;

pub use router::{ControlPlane, router};
pub use serve::serve;
pub use tokens::{Credentials, MIGRATIONS, S3Key, TokenError, Tokens, s3_secret};
