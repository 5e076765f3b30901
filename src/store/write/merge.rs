//! The two generations of the index over record ids: new ones gather in a small table and move over in order.

use rustdht_core::ports::StoreError;

use super::Writer;
use crate::sql::{one, run, unsigned};

/// Most rows in the small table: its pages stay in the cache.
const MOST_ROWS: u64 = 256 * 1024;

impl Writer {
    /// Rows in the small table.
    pub(super) async fn count_new(&self) -> Result<u64, StoreError> {
        Ok(unsigned(one(&self.db, "SELECT count(*) FROM records_new", vec![]).await?.int(0)?))
    }

    /// Moves the small table over once it is full. One that fails is tried again after the next group: until then both
    /// tables answer as before.
    pub(super) async fn merge_records(&mut self) {
        // A sixteenth of all: moving it touches each page of the large table for several rows.
        let full = (unsigned(self.numbers.entries) / 16).min(MOST_ROWS).max(self.config.merge_records);
        if self.new_records < full {
            return;
        }
        match self.try_merge().await {
            Ok(()) => self.new_records = 0,
            Err(err) => tracing::warn!(%err, "moving new records into the index"),
        }
    }

    async fn try_merge(&self) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        run(&transaction, "INSERT INTO records (record8, no) SELECT record8, no FROM records_new", vec![]).await?;
        run(&transaction, "DELETE FROM records_new", vec![]).await?;
        transaction.commit().await.map_err(|err| crate::error::failed(&err))
    }
}
