//! Uploads in progress: what they write, or find to be here, is spared by collections.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::index::Index;

/// The holds that are not over, by the collection that had begun last when they were taken.
#[derive(Default)]
pub(crate) struct Holds(Mutex<BTreeMap<u32, usize>>);

/// A hold; it ends when it is dropped.
pub(crate) struct Held {
    holds: Arc<Holds>,
    epoch: u32,
}

impl Holds {
    pub(crate) fn take(self: &Arc<Self>, index: &Index) -> Held {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a collection that begins later either sees the hold or is the one that it is numbered by.
        let epoch = index.epoch();
        *held.entry(epoch).or_default() += 1;
        Held { holds: Arc::clone(self), epoch }
    }

    /// What was used since collection `begun` began is spared, or since an earlier one, where a hold is that old.
    pub(crate) fn cutoff(&self, begun: u32) -> u32 {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys().next().map_or(begun, |oldest| begun.min(*oldest))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.holds.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_hold_counts() {
        let (holds, index) = (Arc::new(Holds::default()), Index::new());
        let (first, again) = (holds.take(&index), holds.take(&index));
        let begun = index.begin();
        let second = holds.take(&index);
        assert_eq!((holds.cutoff(begun), holds.cutoff(1)), (1, 1));
        drop(first);
        assert_eq!(holds.cutoff(begun), 1);
        drop(again);
        assert_eq!(holds.cutoff(begun), begun);
        drop(second);
        assert!(holds.0.lock().unwrap().is_empty());
    }
}
