//! States of a database's past: `d1 time-travel info` and `restore`.

use std::sync::Arc;

use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use v4::{ApiError, Envelope, Path, Query};

use super::find_database;
use crate::{
    D1Error,
    store::{State, Store},
};

#[derive(Deserialize)]
pub(super) struct Which {
    bookmark: Option<String>,
    timestamp: Option<String>,
}

impl Which {
    fn state(self) -> Result<Option<State>, D1Error> {
        match (self.bookmark, self.timestamp) {
            (Some(_), Some(_)) => {
                Err(D1Error::RequestMalformed("give a bookmark or a timestamp, not both".to_owned()))
            }
            (Some(bookmark), None) => match bookmark.parse() {
                Ok(bookmark) => Ok(Some(State::At(bookmark))),
                Err(()) => Err(D1Error::BookmarkInvalid(bookmark)),
            },
            (None, Some(timestamp)) => match moment_ms(&timestamp) {
                Some(moment_ms) => Ok(Some(State::Then(moment_ms))),
                None => Err(D1Error::RequestMalformed(format!(
                    "\"{timestamp}\" is neither an RFC 3339 time nor seconds since 1970"
                ))),
            },
            (None, None) => Ok(None),
        }
    }
}

#[derive(Serialize)]
pub(super) struct WireBookmark {
    bookmark: String,
}

pub(super) async fn bookmark_read(
    Shared(store): Shared<Arc<Store>>,
    Path((_account, database)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Envelope<WireBookmark>, ApiError> {
    let id = find_database(&store, &database)?.id;
    let bookmark = store.bookmark(id, which.state()?.unwrap_or(State::Now)).await?;
    Ok(Envelope::new(WireBookmark { bookmark: bookmark.to_string() }))
}

#[derive(Serialize)]
pub(super) struct WireRestored {
    bookmark: String,
    previous_bookmark: String,
    message: String,
}

pub(super) async fn restore(
    Shared(store): Shared<Arc<Store>>,
    Path((_account, database)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Envelope<WireRestored>, ApiError> {
    let id = find_database(&store, &database)?.id;
    let state = which.state()?.ok_or_else(|| {
        D1Error::RequestMalformed("say what to restore: a bookmark or a timestamp".to_owned())
    })?;
    let restored = store.restore(id, state).await?;
    let message = format!("The database was restored; {} is the state before", restored.before);
    Ok(Envelope::new(WireRestored {
        bookmark: restored.now.to_string(),
        previous_bookmark: restored.before.to_string(),
        message,
    }))
}

fn moment_ms(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000).ok()
}
