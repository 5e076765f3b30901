//! Operations before they are signed.

use rustdht_core::{EntryId, Field, Kind, Slot, Soul, Stamp, Value};

/// An operation before it is signed: all but the salt, which comes from entropy.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The node.
    pub soul: Soul,
    /// The field.
    pub field: Field,
    /// The kind.
    pub kind: Kind,
    /// What it competes for.
    pub slot: Slot,
    /// The value; `None` for a pure removal.
    pub value: Option<Value>,
    /// What it removes; ascending.
    pub kills: Vec<EntryId>,
    /// What the writer saw; ascending, at most four.
    pub over: Vec<EntryId>,
    /// The least base or stamp of what a compaction kills (Yjs kinds).
    pub base: Option<Stamp>,
    /// Every stamp that the draft's own must exceed, for its kills or its total to count.
    pub after: Stamp,
}

impl Draft {
    /// The same draft with this value.
    #[must_use]
    pub fn with_value(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }

    /// The same draft in another slot; for kinds that v 1 does not list.
    #[must_use]
    pub fn in_slot(mut self, slot: Slot) -> Self {
        self.slot = slot;
        self
    }

    /// Whether both compete for one slot.
    pub(crate) fn competes_with(&self, other: &Self) -> bool {
        let same = self.kind == other.kind && self.field == other.field && self.soul == other.soul;
        same && !self.slot.is_own() && self.slot == other.slot
    }
}
