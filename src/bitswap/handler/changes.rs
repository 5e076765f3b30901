//! Changes of our wantlist that are not sent yet.

use std::collections::HashMap;

use cid::Cid;

use crate::wire::Entry;

/// The last word on each block, in order. Bounded by the wants that the engine has under way at one peer.
#[derive(Debug, Default)]
pub(super) struct Changes {
    entries: Vec<Entry>,
    places: HashMap<Cid, usize>,
}

impl Changes {
    /// Puts an entry in the place of an earlier one for the same block. A CANCEL stays even if the want that it takes
    /// back was not sent: an earlier one may have been.
    pub(super) fn add(&mut self, entry: Entry) {
        match self.places.get(&entry.cid) {
            Some(place) => self.entries[*place] = entry,
            None => {
                self.places.insert(entry.cid, self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first entries, at most `max`.
    pub(super) fn take(&mut self, max: usize) -> Vec<Entry> {
        let rest = self.entries.split_off(max.min(self.entries.len()));
        self.places = rest.iter().enumerate().map(|(place, entry)| (entry.cid, place)).collect();
        std::mem::replace(&mut self.entries, rest)
    }
}
