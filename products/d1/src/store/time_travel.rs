//! Finding a state in a database's history, and making it the present.

use model::DatabaseId;

use super::{Store, database::blocking};
use crate::{D1Error, history::Sequence, model::Bookmark};

/// A state in a database's history.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Right after a commit.
    At(Bookmark),
    /// The newest that was there at a moment, in milliseconds since 1970.
    Then(u64),
    /// The present.
    Now,
}

/// What a restore did.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The present, which is as the state that was asked for.
    pub(crate) now: Bookmark,
    /// What was the present before, by which this is undone.
    pub(crate) before: Bookmark,
}

impl Store {
    /// The bookmark of a state.
    pub(crate) async fn bookmark(&self, id: DatabaseId, state: State) -> Result<Bookmark, D1Error> {
        let database = self.open.get(id, || self.find(id)).await?;
        let history = database.history();
        let shown = shown(&state);
        let found = blocking(move || match state {
            State::Now => Ok(Some(history.newest())),
            State::Then(moment_ms) => history.at(moment_ms),
            State::At(bookmark) => {
                let commit = Sequence(bookmark.commit);
                let is_kept = (history.oldest()..=history.newest()).contains(&commit);
                Ok((bookmark.database == id && is_kept).then_some(commit))
            }
        });
        match found.await? {
            Some(commit) => Ok(Bookmark { commit: commit.0, database: id }),
            None => Err(D1Error::MomentNotKept(shown)),
        }
    }

    /// Makes an earlier state the present, as one more commit: readers see the old one until then, and it can be undone.
    pub(crate) async fn restore(&self, id: DatabaseId, state: State) -> Result<Restored, D1Error> {
        let to = self.bookmark(id, state).await?;
        let database = self.open.get(id, || self.find(id)).await?;
        let file = self.transfers.new_file()?;
        let history = database.history();
        let _one_at_a_time = database.restoring().await;
        let file = blocking(move || {
            history.materialise(Sequence(to.commit), file.path())?;
            Ok::<_, D1Error>(file)
        })
        .await?;
        let history = database.history();
        let (before, now) = database
            .write(move |writer| {
                let before = history.newest();
                Ok((before, writer.replace_with(file.path())?))
            })
            .await?;
        let of = |commit: Sequence| Bookmark { commit: commit.0, database: id };
        tracing::info!(database = %id, to = %to, "A database was restored");
        Ok(Restored { now: of(now), before: of(before) })
    }
}

fn shown(state: &State) -> String {
    match state {
        State::At(bookmark) => format!("bookmark {bookmark}"),
        State::Then(moment_ms) => v4::rfc3339(*moment_ms),
        State::Now => "the present".to_owned(),
    }
}
