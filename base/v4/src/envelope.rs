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
    /// Where the next page begins; empty at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl<T> Envelope<T> {
    /// An answer without paging.
    pub fn new(result: T) -> Self {
        Self { result, info: None }
    }
}

#[derive(Serialize)]
struct Wire<T> {
    success: bool,
    errors: [(); 0],
    messages: [(); 0],
    result: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_info: Option<ResultInfo>,
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        let wire =
            Wire { success: true, errors: [], messages: [], result: self.result, result_info: self.info };
        (StatusCode::OK, Json(wire)).into_response()
    }
}
