//! Where writes wait while one that takes long has the database for itself: an import.

use std::sync::Arc;

use tokio::{sync::watch, time::timeout};

use super::writer::WRITES_WAITING_MAX;
use crate::{error::SqlError, model::QUERY_DURATION_MAX};

/// Open unless an import runs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<watch::Sender<bool>>);

/// Keeps a gate closed until it is dropped.
#[derive(Debug)]
pub(super) struct Closed(Gate);

impl Gate {
    /// Lets a write through, after the import that runs.
    pub(super) async fn pass(&self) -> Result<(), SqlError> {
        if !*self.0.borrow() {
            return Ok(());
        }
        if WRITES_WAITING_MAX <= self.0.receiver_count() {
            return Err(SqlError::Overloaded);
        }
        let mut changes = self.0.subscribe();
        // The sender lives as long as this gate.
        let opened = timeout(QUERY_DURATION_MAX, changes.wait_for(|is_closed| !is_closed)).await;
        opened.map(drop).map_err(|_late| SqlError::Importing)
    }

    /// Has further writes wait; refused if they wait already.
    pub(super) fn close(&self) -> Result<Closed, SqlError> {
        let was_open = self.0.send_if_modified(|is_closed| !std::mem::replace(is_closed, true));
        if was_open { Ok(Closed(self.clone())) } else { Err(SqlError::Importing) }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.0.send_replace(false);
    }
}
