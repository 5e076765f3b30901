//! What editors of an open document were given: every update that is ready. What is not ready waits.
//!
//! Nothing is handed to an editor before all that it depends on: a stock editor would keep it for later, but an update
//! whose base was deleted stays out of every view, and has to stay out of the editors too.

use std::sync::Arc;

use rustdht_core::{Entry, EntryId, Value};
use rustdht_graph::yjs::{Document, Ranges, StateVector, Update};

use super::limits::STRUCT_BYTES;

/// Elements and deletions that something holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) structs: Ranges,
    pub(crate) deletes: Ranges,
}

impl Coverage {
    /// Adds what an update brings.
    pub(crate) fn add(&mut self, update: &Update) {
        self.structs.extend(&update.structs());
        self.deletes.extend(update.deletes());
    }

    /// What an update brings beyond it.
    pub(crate) fn rest(&self, update: &Update) -> Update {
        update.without(&self.structs, &self.deletes)
    }

    /// Whether the update brings nothing that is not held.
    pub(crate) fn holds(&self, update: &Update) -> bool {
        let (mut structs, mut deletes) = (update.structs(), update.deletes().clone());
        structs.subtract(&self.structs);
        deletes.subtract(&self.deletes);
        structs.is_empty() && deletes.is_empty()
    }

    /// How much of each client's sequence is held without a gap.
    pub(crate) fn state_vector(&self) -> StateVector {
        let mut vector = StateVector::default();
        for (client, ranges) in self.structs.clients() {
            if let Some((0, end)) = ranges.first() {
                vector.raise(client, *end);
            }
        }
        vector
    }

    /// Ranges held, for bounds.
    pub(crate) fn len(&self) -> usize {
        self.structs.iter().count() + self.deletes.iter().count()
    }
}

/// The elements below a state vector's clocks.
pub(crate) fn below(vector: &StateVector) -> Ranges {
    let mut ranges = Ranges::default();
    vector.iter().for_each(|(client, clock)| ranges.insert(client, 0, clock));
    ranges
}

/// The update that an entry carries; `None`: the view ignores its value.
pub(crate) fn update_of(entry: &Entry) -> Option<Update> {
    match entry.body.value() {
        Some(Value::Bytes(bytes)) => Update::decode(bytes).ok(),
        _ => None,
    }
}

/// The document as editors hold it.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    document: Document,
    given: Coverage,
    bytes: usize,
}

impl Replica {
    /// What the view makes of entries.
    pub(crate) fn of(entries: &[Arc<Entry>]) -> Self {
        let document = Document::of(entries);
        let unready: std::collections::BTreeSet<EntryId> = document.unready();
        let mut replica = Self { document, given: Coverage::default(), bytes: 0 };
        for entry in entries.iter().filter(|entry| !unready.contains(&entry.id)) {
            if let Some(update) = update_of(entry) {
                replica.given.add(&update);
                replica.bytes += entry.weight() + update.struct_count() * STRUCT_BYTES;
            }
        }
        replica
    }

    /// Takes an update; answers with what became ready: its new part, others that waited for it, or nothing.
    pub(crate) fn apply(&mut self, update: &Update) -> Option<Update> {
        let alone = self.given.rest(update);
        if alone.is_empty() {
            return None;
        }
        let waiting = self.document.waiting();
        let before = if waiting > 0 { self.document.state_vector() } else { StateVector::default() };
        // An error: too many wait already. It is signed all the same, and comes with the view.
        self.document.apply(update.clone()).ok()?;
        let new = match self.document.waiting().cmp(&waiting) {
            std::cmp::Ordering::Greater => return None,
            std::cmp::Ordering::Equal => alone,
            // Others were waiting for it; what came with them is told by the clocks.
            std::cmp::Ordering::Less => self.given.rest(&Update::decode(&self.document.diff(&before)).ok()?),
        };
        self.bytes += new.encode().len() + new.struct_count() * STRUCT_BYTES;
        self.given.add(&new);
        Some(new)
    }

    /// Whether an update has other content for elements that editors hold.
    pub(crate) fn contradicts(&mut self, update: &Update) -> bool {
        self.given.structs.meets(&update.structs()) && !self.document.contradictions(update).is_empty()
    }

    /// Whether two replicas hold other content for one element.
    pub(crate) fn differs(&mut self, other: &Self) -> bool {
        Update::decode(&other.diff(&StateVector::default())).is_ok_and(|whole| self.contradicts(&whole))
    }

    /// What editors were given.
    pub(crate) fn given(&self) -> &Coverage {
        &self.given
    }

    /// Bytes of it as updates, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An update with all that a client with this state vector lacks, and every deletion.
    pub(crate) fn diff(&self, vector: &StateVector) -> Vec<u8> {
        self.document.diff(vector)
    }
}
