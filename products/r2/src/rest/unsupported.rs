//! What Cloudflare's R2 has and this room has not yet: refused by name, so that nobody takes it for done.

use axum::http::StatusCode;
use v4::{ApiError, code};

pub(super) async fn locks() -> ApiError {
    refuse("bucket locks are not supported yet: objects can be deleted and replaced by whoever may write")
}

pub(super) async fn sippy() -> ApiError {
    refuse("Sippy is not supported: copy what is to be migrated with rclone or the AWS CLI")
}

pub(super) async fn notifications() -> ApiError {
    refuse("event notifications are not supported yet: there are no queues to send them to")
}

fn refuse(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code::UNSUPPORTED, message)
}
