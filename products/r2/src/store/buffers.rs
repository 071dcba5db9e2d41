//! Memory for blocks that are read, used again: a mebibyte that is new to the process costs the kernel more than reading it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{files::BLOCK_BYTES, seal::TAG_BYTES};

/// Most buffers that wait for their next use.
const KEPT_MAX: usize = 8;

#[expect(clippy::cast_possible_truncation, reason = "a mebibyte and a few bytes")]
const BUFFER_BYTES: usize = (BLOCK_BYTES + TAG_BYTES) as usize;

/// The buffers of one shard's readers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Buffers {
    /// Lets `fill` write `length` bytes, at most a sealed block, and returns them.
    pub(super) fn filled<E>(
        &self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        let mut lent = Lent { memory, length, pool: self.clone() };
        fill(&mut lent.memory[..length])?;
        Ok(Bytes::from_owner(lent))
    }
}

/// A buffer in use; dropped, it waits for the next reader.
struct Lent {
    memory: Box<[u8]>,
    length: usize,
    pool: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.memory));
        }
    }
}
