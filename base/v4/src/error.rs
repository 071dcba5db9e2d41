//! The one error that leaves through the API: a status, Cloudflare's code and a sentence.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use model::TokenId;
use serde_json::{Value, json};

/// Codes that clients give a meaning to, shared by products. A product's own codes live in its `error.rs`.
pub mod code {
    /// The token is missing, wrong, revoked, or not allowed here.
    pub const AUTHENTICATION: u32 = 10_000;
    /// No route answers this path.
    pub const NO_ROUTE: u32 = 7_003;
    /// The path exists, but not for this method.
    pub const WRONG_METHOD: u32 = 7_001;
    /// The request's shape is wrong.
    pub const BAD_REQUEST: u32 = 7_400;
    /// Cloudflare has it, this server has it not yet. Ours: a 4xx, since clients send a request again after a 5xx.
    pub const UNSUPPORTED: u32 = 10_501;
    /// Our fault.
    pub const INTERNAL: u32 = 10_002;
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Cloudflare's code for it.
    pub code: u32,
    /// A sentence for the person who reads it.
    pub message: String,
    /// What a program can read of it.
    pub meta: Option<Value>,
}

impl ApiError {
    /// Makes an error.
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), meta: None }
    }

    /// Adds what a program can read of it.
    #[must_use]
    pub fn with_meta(self, meta: Value) -> Self {
        Self { meta: Some(meta), ..self }
    }

    /// The request's shape is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
    }

    /// Our own failure: logged here, once, and answered without details.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "The API could not answer");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            code::INTERNAL,
            "internal error; the server's log says why",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(meta) = self.meta {
            error["meta"] = meta;
        }
        let body = json!({
            "success": false,
            "errors": [error],
            "messages": [],
            "result": null,
        });
        (self.status, Json(body)).into_response()
    }
}

/// The address under which the one user of this installation appears in answers; no mail is ever sent to it.
pub const OWNER_EMAIL: &str = "owner@localhost";

/// The account's name wherever one is shown.
pub const ACCOUNT_NAME: &str = "Skerry";

/// Who calls, put into the request's extensions by the control plane once the token was checked.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The token used.
    pub token: TokenId,
}
