//! The reconciliation index: a counted tree over (seconds, record id) with cached 256-bit sums.
//!
//! Insert, remove, rank and the sum of any range take O(log n), so that a round of reconciliation needs neither a
//! sorted copy nor state between the messages. About 40 bytes an entry at a million entries.
//!
//! ```text
//!            inner: count, sum and least key of every child
//!           /        |         \
//!       leaf        leaf        leaf: up to 256 keys of 36 bytes, sorted
//! ```

mod node;
mod sum;

use std::ops::ControlFlow;

use rustdht_core::{RecordId, ports::IndexItem};

use node::{Child, Node};
pub use sum::Sum;

/// A key of the index, ordered as negentropy orders: by time, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whole seconds since 2020-01-01.
    pub seconds: u32,
    /// The keyed id.
    pub record: RecordId,
}

impl From<&IndexItem> for Key {
    fn from(item: &IndexItem) -> Self {
        Self { seconds: item.seconds, record: item.record }
    }
}

/// The ids of everything that this replica holds.
#[derive(Clone, Debug, Default)]
pub struct Index {
    root: Option<Child>,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None }
    }

    /// How many ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.count)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a key; `false` when it was here.
    pub fn insert(&mut self, key: Key) -> bool {
        let Some(root) = &mut self.root else {
            self.root = Some(Child::leaf(vec![key]));
            return true;
        };
        let (added, split) = root.insert(key);
        if let Some(right) = split
            && let Some(left) = self.root.take()
        {
            self.root = Some(Child::inner(vec![left, right]));
        }
        added
    }

    /// Removes a key; `false` when it was not here.
    pub fn remove(&mut self, key: &Key) -> bool {
        let Some(root) = &mut self.root else { return false };
        let removed = root.remove(key);
        if root.count == 0 {
            self.root = None;
        } else {
            while let Some(Child { node: Node::Inner(children), .. }) = &mut self.root
                && children.len() == 1
            {
                self.root = children.pop();
            }
        }
        removed
    }

    /// Whether a key is here.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        self.get(self.rank(key)).is_some_and(|found| found == *key)
    }

    /// How many keys are less than `key`.
    #[must_use]
    pub fn rank(&self, key: &Key) -> usize {
        self.root.as_ref().map_or(0, |root| root.rank(key))
    }

    /// How many keys are of seconds before `seconds`.
    #[must_use]
    pub fn rank_below(&self, seconds: u32) -> usize {
        self.rank(&Key { seconds, record: RecordId([0; 32]) })
    }

    /// The key at a position.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Key> {
        let mut found = None;
        self.each(position, position.saturating_add(1), |key| {
            found = Some(key);
            ControlFlow::Break(())
        });
        found
    }

    /// The sum of the ids at positions `from..to`.
    #[must_use]
    pub fn sum(&self, from: usize, to: usize) -> Sum {
        let prefix = |end| self.root.as_ref().map_or(Sum::ZERO, |root| root.prefix_sum(end));
        if from >= to { Sum::ZERO } else { prefix(to).minus(prefix(from)) }
    }

    /// Shows the keys at positions `from..to` in order, until told to stop.
    pub fn each(&self, from: usize, to: usize, mut visit: impl FnMut(Key) -> ControlFlow<()>) {
        if let Some(root) = &self.root
            && from < to
        {
            // The flow only tells the tree to stop.
            let _ = root.each(from, to, &mut visit);
        }
    }
}

#[cfg(test)]
mod tests;
