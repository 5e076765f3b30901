//! What other processes on the same database changed while this one was running.

use std::collections::{HashSet, VecDeque};

use rustdht_core::Soul;
use rustdht_core::ports::{Batch, StoreError};
use sea_orm::{ConnectionTrait, Value};

use crate::codec::Decoder;
use crate::sql;

/// Rows of other processes that are remembered. Whoever has seen less than what was forgotten must load again.
const MAX_ROWS: usize = 4096;

/// Rows of the change feed that this process did not write.
#[derive(Default)]
pub(crate) struct Foreign {
    rows: VecDeque<(u64, HashSet<Soul>)>,
    /// The greatest number of a row that was remembered once and is no longer.
    forgotten: u64,
}

impl Foreign {
    /// Reads the rows in (`known`, `last`]; with the write lock held these are all of others. Costs nothing when there
    /// are none.
    pub(crate) async fn catch_up<C: ConnectionTrait>(
        &mut self,
        db: &C,
        known: u64,
        last: u64,
    ) -> Result<(), StoreError> {
        if last <= known {
            return Ok(());
        }
        // Nothing is remembered of what lies further back than can be.
        let from = known.max(last.saturating_sub(MAX_ROWS as u64));
        if from > known {
            self.forgotten = from;
        }
        let rows = sql::all(
            db,
            "SELECT number, changes FROM feed WHERE number > ? ORDER BY number",
            vec![Value::from(sql::signed(from))],
        )
        .await?;
        let mut decoder = Decoder::default();
        for row in rows {
            let number = sql::unsigned(row.int(0)?);
            match row.blob(1).and_then(|data| decoder.changes(data)) {
                Ok(changes) => self.note(number, changes.into_iter().map(|change| change.soul).collect()),
                // It may have named any soul.
                Err(_) => self.forgotten = self.forgotten.max(number),
            }
        }
        Ok(())
    }

    fn note(&mut self, number: u64, souls: HashSet<Soul>) {
        self.rows.push_back((number, souls));
        if self.rows.len() > MAX_ROWS
            && let Some((number, _)) = self.rows.pop_front()
        {
            self.forgotten = self.forgotten.max(number);
        }
    }

    /// Whether a row after `batch.seen_feed` names one of the batch's souls, or may have.
    pub(crate) fn conflicts(&self, batch: &Batch) -> bool {
        let touches = !(batch.puts.is_empty() && batch.losers.is_empty() && batch.changes.is_empty());
        if batch.seen_feed < self.forgotten {
            return touches;
        }
        self.rows.iter().rev().take_while(|(number, _)| *number > batch.seen_feed).any(|(_, souls)| {
            batch.puts.iter().any(|put| souls.contains(&put.entry.soul))
                || batch.losers.iter().any(|loser| souls.contains(&loser.entry.soul))
                || batch.changes.iter().any(|change| souls.contains(&change.soul))
        })
    }
}

#[cfg(test)]
mod tests {
    use rustdht_core::ports::Change;

    use super::*;

    fn batch(soul: &str, seen_feed: u64) -> Batch {
        let change = Change { soul: soul.parse().unwrap(), fields: vec![] };
        Batch { changes: vec![change], seen_feed, ..Batch::default() }
    }

    #[test]
    fn only_later_rows_of_the_same_soul_conflict() {
        let mut foreign = Foreign::default();
        foreign.note(7, ["a".parse().unwrap()].into());
        assert!(foreign.conflicts(&batch("a", 6)));
        assert!(!foreign.conflicts(&batch("a", 7)));
        assert!(!foreign.conflicts(&batch("b", 6)));
    }

    #[test]
    fn what_was_forgotten_conflicts_with_everything_older() {
        let mut foreign = Foreign::default();
        for number in 1..=MAX_ROWS as u64 + 2 {
            foreign.note(number, HashSet::new());
        }
        assert_eq!(foreign.rows.len(), MAX_ROWS);
        assert!(foreign.conflicts(&batch("a", 1)));
        assert!(!foreign.conflicts(&batch("a", 2)));
        assert!(!foreign.conflicts(&Batch::default()), "a batch that touches no soul never conflicts");
    }
}
