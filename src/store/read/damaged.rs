//! Rows that cannot be decoded. Reading goes on without them: one damaged row must not take its whole node with it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rustdht_core::ports::{StoreError, Table};

use crate::metrics;

/// Rows whose damage was logged and is remembered, so that each is logged once. Further ones are only counted.
const MAX_REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Damaged(Mutex<HashSet<(Table, i64)>>);

impl Damaged {
    /// What was decoded of a row, if it could be.
    pub(super) fn pass<T>(&self, table: Table, row: i64, decoded: Result<T, StoreError>) -> Option<T> {
        match decoded {
            Ok(decoded) => Some(decoded),
            Err(error) => {
                metrics::damaged(table.name());
                if self.is_news(table, row) {
                    let table = table.name();
                    tracing::error!(table, row, %error, "a row is passed over; `rustdht graph check --repair` takes it out");
                }
                None
            }
        }
    }

    fn is_news(&self, table: Table, row: i64) -> bool {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.len() < MAX_REMEMBERED && remembered.insert((table, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::damaged;

    #[test]
    fn each_row_is_news_once() {
        let rows = Damaged::default();
        assert_eq!(rows.pass(Table::Entries, 1, Ok(7)), Some(7));
        assert_eq!(rows.pass::<()>(Table::Entries, 1, Err(damaged("a kind"))), None);
        assert!(!rows.is_news(Table::Entries, 1) && rows.is_news(Table::History, 1) && rows.is_news(Table::Entries, 2));
        (0..2 * MAX_REMEMBERED as i64).for_each(|row| {
            rows.is_news(Table::Feed, row);
        });
        assert_eq!(rows.0.lock().unwrap().len(), MAX_REMEMBERED);
    }
}
