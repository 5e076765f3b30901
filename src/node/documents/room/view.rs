//! The view: what is signed, here and elsewhere, as the field shows it.

use std::{collections::BTreeMap, sync::Arc};

use rustdht_core::{Entry, EntryId, Stamp};
use rustdht_graph::yjs::Ranges;

use super::{Effect, Room};
use crate::documents::{
    Close,
    replica::{Replica, update_of},
};

/// The field as its entries show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Those that count of the document's kind, in the view's order.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Elements of updates that were cut off, killed without replacement or erased.
    pub(crate) hidden: Ranges,
    /// When the field was last deleted or erased, in milliseconds since the epoch; 0: never.
    pub(crate) cut_ms: u64,
    /// The stamp of the last deletion or erase by anybody, whether it takes effect or not.
    pub(crate) cut: Stamp,
    /// The node is private.
    pub(crate) private: bool,
}

/// What a change of the view means for the room.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// Editors go on.
    Goes(Vec<Effect>),
    /// What editors hold is gone or was resolved otherwise: all of them are closed so.
    Ends(Close),
}

impl Room {
    /// Takes the view, at first and whenever the field changed.
    pub(crate) fn view(&mut self, view: View) -> Change {
        self.private = view.private;
        self.cut = view.cut;
        let mut entries: BTreeMap<EntryId, Ranges> = BTreeMap::new();
        let mut shown = Ranges::default();
        let mut new = Vec::new();
        for entry in &view.entries {
            let structs = match self.entries.remove(&entry.id) {
                Some(structs) => structs,
                None => {
                    // What is not an update is ignored by the view too.
                    let Some(update) = update_of(entry) else { continue };
                    let structs = update.structs();
                    new.push(update);
                    structs
                }
            };
            shown.extend(&structs);
            entries.insert(entry.id, structs);
        }
        // What was shown and is shown no more, whatever the reason: a deletion, or a writer whose certificate was revoked.
        let mut gone = Ranges::default();
        std::mem::replace(&mut self.entries, entries).values().for_each(|structs| gone.extend(structs));
        gone.subtract(&shown);
        self.hidden = view.hidden;
        self.hidden.subtract(&shown);
        // What was written before a deletion goes with it, signed or not.
        let is_new = view.cut_ms > std::mem::replace(&mut self.cut_ms, view.cut_ms);
        let unsigned = self.pending.values().chain(self.signing.values()).map(|pending| pending.since_ms);
        let previewed = self.previews.iter().map(|preview| preview.since_ms);
        let cuts = is_new && unsigned.chain(previewed).any(|since_ms| since_ms <= view.cut_ms);
        if cuts
            || !gone.is_empty()
            || self.hidden.meets(&self.replica.given().structs)
            || self.hidden.meets(&self.held.structs)
        {
            return Change::Ends(Close::Deleted);
        }
        if self.editors.is_empty() && self.held.len() == 0 {
            // The first look: the fold of all of them at once.
            self.replica = Replica::of(&view.entries);
            new.iter().for_each(|update| self.took(update));
            return Change::Goes(Vec::new());
        }
        let mut contested = false;
        let mut effects = Vec::new();
        for update in &new {
            contested |= self.replica.contradicts(update);
            self.took(update);
            let ready = self.replica.apply(update);
            effects.extend(self.give(ready.as_ref()));
        }
        self.settle();
        if contested && self.is_resolved_otherwise(&view.entries) {
            return Change::Ends(Close::Resolved);
        }
        Change::Goes(effects)
    }

    fn took(&mut self, update: &rustdht_graph::yjs::Update) {
        self.signed.add(update);
        self.held.add(update);
    }

    /// Whether the view's order gives an element other content than editors hold. The room then holds what the view shows.
    fn is_resolved_otherwise(&mut self, entries: &[Arc<Entry>]) -> bool {
        let mut fresh = Replica::of(entries);
        for pending in self.signing.values().chain(self.pending.values()) {
            pending.updates.iter().for_each(|update| drop(fresh.apply(update)));
        }
        self.previews.iter().for_each(|preview| drop(fresh.apply(&preview.update)));
        let differs = fresh.differs(&self.replica);
        if differs {
            self.replica = fresh;
        }
        differs
    }
}
