//! The messages of one direction, cut out of the bytes in which they come.

use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::message::{self, Unreadable};

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// What is read at once of a message that is longer.
const LONG_READ_BYTES_MAX: usize = 1024 * 1024;

/// Whole messages, and the beginning of the next; as long as the longest message at most.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// So many of them were handed out as messages.
    taken: usize,
}

impl Incoming {
    /// Forgets what was handed out and reads on; `false` at the end. An error is an end. May be cancelled.
    pub(crate) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        let missing = match message::length(&self.bytes) {
            Ok(Some(length)) => length.saturating_sub(self.bytes.len()),
            Ok(None) | Err(_) => 0,
        };
        if missing == 0 {
            self.bytes.shrink_to(LONG_READ_BYTES_MAX);
        }
        self.bytes.reserve(missing.clamp(READ_BYTES, LONG_READ_BYTES_MAX));
        matches!(from.read_buf(&mut self.bytes).await, Ok(1..))
    }

    /// Where the next whole message is, if it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Range<usize>>, Unreadable> {
        let begin = self.taken;
        let Some(length) = message::length(&self.bytes[begin..])? else { return Ok(None) };
        if self.bytes.len() - begin < length {
            return Ok(None);
        }
        self.taken += length;
        Ok(Some(begin..self.taken))
    }

    /// A part of what was handed out since the last [`Incoming::fill`].
    pub(crate) fn part(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }

    /// All messages that were handed out since the last [`Incoming::fill`].
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes[..self.taken]
    }
}
