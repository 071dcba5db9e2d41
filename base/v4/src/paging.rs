//! Lists by page number, as most of the API pages them.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;

use crate::{ApiError, Envelope, Query, ResultInfo};

/// Rows on a page when the caller does not say (Cloudflare: API pagination).
pub const PER_PAGE_DEFAULT: usize = 20;

/// Most rows on a page; wrangler asks for 1000 at most.
pub const PER_PAGE_MAX: usize = 1000;

/// `page` and `per_page` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    // Both are at least 1.
    page: usize,
    per_page: usize,
}

impl Paging {
    /// Rows before this page.
    #[must_use]
    pub fn offset(&self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// Most rows on this page.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.per_page
    }

    /// Cuts this page out of the whole list. A page past the end is empty.
    pub fn cut<T>(&self, rows: Vec<T>) -> Envelope<Vec<T>> {
        let total = rows.len();
        self.of_total(rows.into_iter().skip(self.offset()).take(self.limit()).collect(), total)
    }

    /// Wraps rows that the store cut already.
    pub fn of_total<T>(&self, rows: Vec<T>, total: usize) -> Envelope<Vec<T>> {
        let info = ResultInfo {
            page: Some(self.page),
            per_page: Some(self.per_page),
            count: rows.len(),
            total_count: Some(total),
            total_pages: Some(total.div_ceil(self.per_page)),
            cursor: None,
        };
        Envelope::paged(rows, info)
    }
}

#[derive(Deserialize)]
struct Raw {
    page: Option<usize>,
    per_page: Option<usize>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(raw) = Query::<Raw>::from_request_parts(parts, state).await?;
        let page = raw.page.unwrap_or(1);
        let per_page = raw.per_page.unwrap_or(PER_PAGE_DEFAULT);
        if page == 0 || per_page == 0 || PER_PAGE_MAX < per_page {
            let message = format!("`page` begins at 1 and `per_page` is 1 to {PER_PAGE_MAX}");
            return Err(ApiError::bad_request(message));
        }
        Ok(Self { page, per_page })
    }
}

#[cfg(test)]
mod tests {
    use super::Paging;

    #[test]
    fn a_page_past_the_end_is_empty() {
        let rows: Vec<u32> = (0..25).collect();
        for (page, count) in [(1, 10), (3, 5), (4, 0), (usize::MAX, 0)] {
            let envelope = Paging { page, per_page: 10 }.cut(rows.clone());
            assert_eq!(envelope.result.len(), count, "page {page}");
            let info = envelope.info.unwrap();
            assert_eq!((info.count, info.total_count, info.total_pages), (count, Some(25), Some(3)));
        }
    }
}
