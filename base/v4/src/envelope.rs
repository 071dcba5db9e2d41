//! The envelope around every JSON answer.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A successful answer: `{"success":true,"errors":[],"messages":[],"result":…}`.
#[derive(Debug, Clone)]
pub struct Envelope<T> {
    /// What the caller asked for.
    pub result: T,
    /// Paging, for lists.
    pub info: Option<ResultInfo>,
    /// Notes for the caller; wrangler shows them only beside an error.
    pub messages: Vec<Message>,
}

/// A note beside a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Cloudflare's code for it.
    pub code: u32,
    /// The note.
    pub message: String,
}

/// Paging of a list: by page number or by cursor.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ResultInfo {
    /// This page's number, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<usize>,
    /// The page size asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_page: Option<usize>,
    /// Rows on this page.
    pub count: usize,
    /// Rows on all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_count: Option<usize>,
    /// Pages in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_pages: Option<usize>,
    /// Where the next page begins; empty at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl<T> Envelope<T> {
    /// An answer without paging.
    pub fn new(result: T) -> Self {
        Self { result, info: None, messages: Vec::new() }
    }

    /// An answer that is one page of a list.
    pub fn paged(result: T, info: ResultInfo) -> Self {
        Self { result, info: Some(info), messages: Vec::new() }
    }

    /// The same answer with a note.
    #[must_use]
    pub fn with_message(mut self, code: u32, message: impl Into<String>) -> Self {
        self.messages.push(Message { code, message: message.into() });
        self
    }
}

#[derive(Serialize)]
struct Wire<T> {
    success: bool,
    errors: [(); 0],
    messages: Vec<Message>,
    result: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_info: Option<ResultInfo>,
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        let Self { result, info, messages } = self;
        let wire = Wire { success: true, errors: [], messages, result, result_info: info };
        (StatusCode::OK, Json(wire)).into_response()
    }
}
