//! How much of an import is durable: batches end in any order, progress covers a prefix without gaps.

use std::collections::BTreeMap;

use crate::schema::Progress;

/// The batches from the first on that have all ended.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    first_open: u64,
    /// Batches that ended while an earlier one is still open; as many as are in flight at most.
    ended: BTreeMap<u64, Progress>,
    durable: Progress,
}

impl Prefix {
    /// Batch number `batch` (0, 1, 2, ...) is durable. `took.line` is the last line of it, the rest what it adds.
    pub(super) fn close(&mut self, batch: u64, took: Progress) {
        self.ended.insert(batch, took);
        while let Some(took) = self.ended.remove(&self.first_open) {
            self.first_open += 1;
            self.durable.line = took.line;
            self.durable.nodes += took.nodes;
            self.durable.fields += took.fields;
        }
    }

    /// The last line of the prefix, and the sums up to it.
    pub(super) const fn durable(&self) -> Progress {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn progress_never_covers_an_open_batch(order in Just((0_u64..12).collect::<Vec<_>>()).prop_shuffle()) {
            let mut prefix = Prefix::default();
            for (at, batch) in order.iter().enumerate() {
                prefix.close(*batch, Progress { line: (batch + 1) * 10, nodes: 3, fields: 5 });
                let whole = (0..12).take_while(|batch| order[..=at].contains(batch)).count() as u64;
                prop_assert_eq!(prefix.durable(), Progress { line: whole * 10, nodes: whole * 3, fields: whole * 5 });
            }
        }
    }
}
