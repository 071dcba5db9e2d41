//! What is known of keys under writers whose server is killed, for every product that keeps what it acknowledged.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::future::{Future, join_all};
use http::StatusCode;
use rustix::process::Signal;
use testkit::{Answer, Server};

use crate::support::Random;

/// What a key may hold: the value of the last acknowledged write, or of the one that was never answered. `None` is a
/// deleted key.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Known {
    acknowledged: Option<u64>,
    unanswered: Option<Option<u64>>,
}

/// The keys of one writer.
pub(crate) type Ledger = BTreeMap<String, Known>;

impl Known {
    /// A write was sent.
    pub(crate) fn sent(&mut self, version: Option<u64>) {
        self.unanswered = Some(version);
    }

    /// The write was acknowledged.
    pub(crate) fn kept(&mut self, version: Option<u64>) {
        *self = Self { acknowledged: version, unanswered: None };
    }

    /// Asserts that the key holds what it may hold, which becomes the new knowledge; returns that.
    pub(crate) fn settle(
        &mut self,
        answer: &Answer,
        round: usize,
        key: &str,
        content: impl Fn(&str, u64) -> Bytes,
    ) -> Option<u64> {
        let holds = |version: &Option<u64>| match version {
            None => answer.status == StatusCode::NOT_FOUND,
            Some(version) => answer.status == StatusCode::OK && answer.body == content(key, *version),
        };
        let held = std::iter::once(self.acknowledged).chain(self.unanswered).find(holds);
        let held = held.unwrap_or_else(|| {
            let start = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]).into_owned();
            panic!("round {round}: {key} answers {} `{start}`…, but {self:?}", answer.status);
        });
        self.kept(held);
        held
    }
}

/// Lets all writers write until the server is killed at a moment that is drawn; what they know then.
pub(crate) async fn until_killed<F: Future<Output = (Ledger, u64)>>(
    server: &Server,
    random: &mut Random,
    writers: impl Iterator<Item = F>,
) -> Vec<Ledger> {
    let kill_after = Duration::from_millis(400 + random.below(900));
    let kill = async {
        tokio::time::sleep(kill_after).await;
        server.signal(Signal::KILL);
    };
    let (written, ()) = tokio::join!(join_all(writers), kill);
    let answered: u64 = written.iter().map(|(_, answered)| answered).sum();
    assert!(0 < answered, "nothing was written in {kill_after:?}");
    written.into_iter().map(|(ledger, _)| ledger).collect()
}

/// Text that tells whose it is from its first byte to its last.
pub(crate) fn text(key: &str, version: u64, length: usize) -> Bytes {
    format!("{key}:{version};").bytes().cycle().take(length).collect()
}
