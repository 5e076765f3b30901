//! Removal of old history and feed rows, a bounded number per transaction so that writers wait little.

use rustdht_core::ports::StoreError;
use sea_orm::Value;

use super::Writer;
use crate::sql::{self, int_lists, run_in, signed, unsigned};

/// Rows looked at per table and transaction.
const ROWS: i64 = 4096;
const DAY_MS: u64 = 24 * 3_600_000;

impl Writer {
    /// Takes the oldest rows of both tables. Returns whether there may be more to remove.
    pub(super) async fn trim(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let history_ms = now_ms.saturating_sub(u64::from(self.config.history_days) * DAY_MS);
        let feed_ms = now_ms.saturating_sub(u64::from(self.config.feed_days) * DAY_MS);
        let rows = "SELECT no, lost_ms FROM history ORDER BY no LIMIT ?";
        let mut old_history = Vec::new();
        for row in sql::all(&self.db, rows, vec![Value::from(ROWS)]).await? {
            if unsigned(row.int(1)?) < history_ms {
                old_history.push(row.int(0)?);
            }
        }
        let newest = unsigned(sql::one(&self.db, "SELECT coalesce(max(number), 0) FROM feed", vec![]).await?.int(0)?);
        let beyond = newest.saturating_sub(u64::from(self.config.feed_rows.max(1)));
        let rows = "SELECT number, ms FROM feed ORDER BY number LIMIT ?";
        let mut old_feed = Vec::new();
        for row in sql::all(&self.db, rows, vec![Value::from(ROWS)]).await? {
            let number = unsigned(row.int(0)?);
            // The newest row stays whatever its age: the next one is numbered after it, also by another process.
            if number < newest && (number <= beyond || unsigned(row.int(1)?) < feed_ms) {
                old_feed.push(signed(number));
            } else {
                // Only a beginning may go, else a reader could not tell from the oldest row what it missed.
                break;
            }
        }
        let more = old_history.len().max(old_feed.len()) as i64 == ROWS;
        if old_history.is_empty() && old_feed.is_empty() {
            return Ok(false);
        }
        let transaction = self.begin().await?;
        run_in(&transaction, "DELETE FROM history WHERE no IN ({})", int_lists(old_history)).await?;
        run_in(&transaction, "DELETE FROM feed WHERE number IN ({})", int_lists(old_feed)).await?;
        transaction.commit().await.map_err(|err| crate::error::failed(&err))?;
        Ok(more)
    }
}
