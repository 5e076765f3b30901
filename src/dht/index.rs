//! The reconciliation index: a counted tree over (seconds, record id) with cached 256-bit sums.
//!
//! Insert, remove, rank and the sum of any range take O(log n), so that a round of reconciliation needs neither a
//! sorted copy nor state between the messages. About 44 bytes an entry at a million entries.
//!
//! An id is compared once, however many partitions it stands in: an entry in one, an endorsement in each that its
//! commit touches. It is here until it has left the last of them.
//!
//! ```text
//!            inner: count, sum and least key of every child
//!           /        |         \
//!       leaf        leaf        leaf: up to 256 keys of 36 bytes, each with a partition, sorted
//! ```

mod node;
mod sum;

use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
};

use rustdht_core::{RecordId, ports::IndexItem};

use node::{Child, Held, Node};
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
    /// The partitions of ids that stand in more than one.
    spread: HashMap<Key, BTreeSet<u16>>,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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

    /// Adds a key in a partition; `false` when it was there already.
    pub fn insert(&mut self, key: Key, partition: u16) -> bool {
        let held = Held { key, partition };
        let Some(root) = &mut self.root else {
            self.root = Some(Child::leaf(vec![held]));
            return true;
        };
        let (known, split) = root.insert(held);
        if let Some(right) = split
            && let Some(left) = self.root.take()
        {
            self.root = Some(Child::inner(vec![left, right]));
        }
        match known {
            None => true,
            Some(first) if first == partition && !self.spread.contains_key(&key) => false,
            Some(first) => self.spread.entry(key).or_insert_with(|| BTreeSet::from([first])).insert(partition),
        }
    }

    /// Removes a key from a partition; `false` when it was not there.
    pub fn remove(&mut self, key: &Key, partition: u16) -> bool {
        let Some(held) = self.root.as_mut().and_then(|root| root.partition(key)) else { return false };
        if let Some(partitions) = self.spread.get_mut(key) {
            let removed = partitions.remove(&partition);
            if let (Some(first), 1) = (partitions.first(), partitions.len()) {
                *held = *first;
                self.spread.remove(key);
            }
            return removed;
        }
        *held == partition && self.remove_key(key)
    }

    fn remove_key(&mut self, key: &Key) -> bool {
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
