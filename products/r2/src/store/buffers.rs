//! Memory for blocks that are read, used again and aligned: a mebibyte that is new to the process costs the kernel more than
//! reading it, and so does one that begins 16 bytes behind a cache line, as the allocator's do (550 us instead of 50 on the
//! machine of `docs/benchmarks.md`).

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{files::BLOCK_BYTES, seal::TAG_BYTES};

/// Most buffers that wait for their next use.
const KEPT_MAX: usize = 8;

/// Where a buffer's bytes begin.
const ALIGNMENT: usize = 4096;

#[expect(clippy::cast_possible_truncation, reason = "a mebibyte and a few bytes")]
const BUFFER_BYTES: usize = (BLOCK_BYTES + TAG_BYTES) as usize + ALIGNMENT;

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
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let mut lent = Lent { memory, place: start..start + length, pool: self.clone() };
        fill(&mut lent.memory[lent.place.clone()])?;
        Ok(Bytes::from_owner(lent))
    }
}

/// A buffer in use; dropped, it waits for the next reader.
struct Lent {
    memory: Box<[u8]>,
    place: Range<usize>,
    pool: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.place.clone()]
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
