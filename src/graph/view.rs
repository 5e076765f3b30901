//! What a field shows.

use std::sync::Arc;

use rustdht_core::{CommitId, Entry, EntryId, Kind, PublicKey, Stamp, Value, ham};

use crate::{FieldState, lattice_of};

/// The content of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A plain value.
    Value(Value),
    /// The elements of a set, in HAM order.
    Set(Vec<Value>),
    /// A kind that this gateway keeps and replicates but cannot show.
    Opaque {
        /// Visible entries.
        entries: usize,
    },
}

/// What a field shows, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldView {
    /// The kind shown.
    pub kind: Kind,
    /// The content.
    pub shown: Shown,
    /// The stamp of the greatest visible entry of that kind.
    pub stamp: Stamp,
    /// Its author.
    pub author: PublicKey,
    /// Its commit.
    pub commit: CommitId,
    /// Its id.
    pub entry: EntryId,
}

impl FieldState {
    /// The field's greatest `null` entry: what it hides is deleted.
    #[must_use]
    pub fn cut_off(&self) -> Option<&Arc<Entry>> {
        self.entries().filter(|entry| entry.kind.is_null()).max_by(|a, b| ham::compare(a, b))
    }

    /// Entries that are not hidden by the cut-off or a kill, carry a live value, and are not of kind `null` or `kill`.
    pub fn visible(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let cut_off = self.cut_off();
        self.entries().filter(move |entry| {
            let hidden = cut_off.is_some_and(|cut| {
                if entry.kind.is_register() { ham::compare(entry, cut).is_lt() } else { entry.cut_stamp() < cut.stamp }
            });
            let content = !entry.kind.is_null() && !entry.kind.is_kill() && entry.body.value().is_some();
            content && !hidden && !self.is_killed(entry)
        })
    }

    /// Visible entries whose value the view of their kind does not ignore.
    pub fn counted(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.visible().filter(|entry| {
            let value = entry.body.value();
            value.is_some_and(|value| {
                matches!(value, Value::Enc(_)) || lattice_of(&entry.kind).is_none_or(|kind| kind.accepts(value))
            })
        })
    }

    /// What the field shows: the kind of the greatest (stamp, kind name, id) among its counted entries. `None`: the
    /// field is absent.
    #[must_use]
    pub fn view(&self) -> Option<FieldView> {
        let greatest = self.counted().max_by(|a, b| (a.stamp, &a.kind, a.id).cmp(&(b.stamp, &b.kind, b.id)))?;
        let entries: Vec<&Arc<Entry>> = self.counted().filter(|entry| entry.kind == greatest.kind).collect();
        let shown = match lattice_of(&greatest.kind) {
            Some(kind) => kind.view(&entries),
            None => Shown::Opaque { entries: entries.len() },
        };
        // A register shows its greatest entry in HAM order, which at equal stamps need not have the greatest id.
        let source = if greatest.kind.is_register() {
            entries.iter().copied().max_by(|a, b| ham::compare(a, b)).unwrap_or(greatest)
        } else {
            greatest
        };
        Some(FieldView {
            kind: source.kind.clone(),
            shown,
            stamp: source.stamp,
            author: source.author,
            commit: source.commit,
            entry: source.id,
        })
    }
}
