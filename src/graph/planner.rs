//! What a kind sees when it plans operations.

use std::sync::Arc;

use rustdht_core::{Body, Entry, Field, Kind, MAX_KILLS, Slot, Stamp, Value};

use crate::{Draft, FieldRef, NodeState, Pen, Rules};

/// A field, a writer, and what the commit in the making holds already.
#[derive(Clone, Copy, Debug)]
pub struct Planner<'a> {
    pub(crate) node: &'a NodeState,
    pub(crate) field: &'a Field,
    pub(crate) pen: &'a Pen,
    pub(crate) add_only: bool,
    pub(crate) earlier: &'a [Draft],
}

impl<'a> Planner<'a> {
    /// Who writes.
    #[must_use]
    pub fn pen(&self) -> &'a Pen {
        self.pen
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &'a NodeState {
        self.node
    }

    /// The field.
    #[must_use]
    pub fn field(&self) -> &'a Field {
        self.field
    }

    /// The rules of the node's space.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.node.rules()
    }

    /// An import: what is wanted is added, nothing is taken away.
    #[must_use]
    pub fn add_only(&self) -> bool {
        self.add_only
    }

    pub(crate) fn state(&self) -> Option<FieldRef<'a>> {
        self.node.field(self.field)
    }

    /// Every entry of the field's state, visible or not.
    pub fn entries(&self) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.state().into_iter().flat_map(FieldRef::entries)
    }

    /// The field's cut-off.
    #[must_use]
    pub fn cut_off(&self) -> Option<&'a Arc<Entry>> {
        self.state().and_then(FieldRef::cut_off)
    }

    /// What the same commit already does to this field.
    pub fn earlier(&self) -> impl Iterator<Item = &'a Draft> {
        let Self { node, field, earlier, .. } = *self;
        earlier.iter().filter(move |draft| draft.field == *field && draft.soul == *node.soul())
    }

    /// Whether the view of a kind depends on ciphertext.
    #[must_use]
    pub fn has_ciphertext(&self, kind: &str) -> bool {
        self.counted(kind).iter().any(|entry| matches!(entry.body.value(), Some(Value::Enc(_))))
    }

    /// Whether the same commit deletes the field before it writes it anew.
    #[must_use]
    pub fn deleted_before(&self) -> bool {
        self.earlier().any(|draft| draft.kind.is_null())
    }

    /// The entries of a kind that its view gets now, ciphertext included.
    #[must_use]
    pub fn counted(&self, kind: &str) -> Vec<&'a Arc<Entry>> {
        if self.deleted_before() {
            return Vec::new();
        }
        let counted = self.state().into_iter().flat_map(FieldRef::counted);
        counted.filter(|entry| &*entry.kind == kind).collect()
    }

    /// Whether this is the kind that the field shows now, if only as an empty list.
    #[must_use]
    pub fn shows(&self, kind: &str) -> bool {
        let chosen = self.state().filter(|_| !self.deleted_before()).and_then(FieldRef::chosen);
        chosen.is_some_and(|chosen| &*chosen.source.kind == kind)
    }

    /// Whether a wish has to make an entry though nothing is missing: the field shows another kind, or nothing. An
    /// import does not turn a field round.
    #[must_use]
    pub fn restates(&self, kind: &str) -> bool {
        if self.add_only { self.counted(kind).is_empty() } else { !self.shows(kind) }
    }

    /// Whether the field would show a kind if only these entries of it were left.
    #[must_use]
    pub fn would_show(&self, kind: &str, left: &[&Arc<Entry>]) -> bool {
        let others = self.state().into_iter().flat_map(FieldRef::counted).filter(|entry| &*entry.kind != kind);
        let others = others.filter(|_| !self.deleted_before());
        let rank = |entry: &Arc<Entry>| (entry.stamp, entry.kind.clone(), entry.id);
        left.iter().map(|entry| rank(entry)).max() > others.map(rank).max()
    }

    /// An empty operation of a kind, in the slot that v 1 gives it; an own-id slot for kinds that v 1 does not list.
    #[must_use]
    pub fn draft(&self, kind: &Kind) -> Draft {
        Draft {
            soul: self.node.soul().clone(),
            field: self.field.clone(),
            kind: kind.clone(),
            slot: self.pen.slot_of(kind, &self.rules()).unwrap_or(Slot::Own),
            value: None,
            kills: Vec::new(),
            over: Vec::new(),
            base: None,
            after: Stamp::default(),
        }
    }

    /// What this writer's own slot of a kind counts for: an earlier operation of the same commit, or a counted entry.
    #[must_use]
    pub fn own_value(&self, kind: &Kind) -> Option<&'a Value> {
        let slot = self.pen.slot_of(kind, &self.rules())?;
        if let Some(draft) = self.earlier().filter(|draft| draft.kind == *kind && draft.slot == slot).last() {
            return draft.value.as_ref();
        }
        self.counted(kind).into_iter().find(|entry| entry.slot == slot).and_then(|entry| entry.body.value())
    }

    /// An operation in this writer's own slot that exceeds what stands there, hidden or not.
    #[must_use]
    pub fn own_slot(&self, kind: &Kind, value: Value) -> Draft {
        let mut draft = self.draft(kind).with_value(value);
        if let (Slot::Explicit(slot), Some(field)) = (&draft.slot, self.state()) {
            draft.after = field.state().slotted(kind, slot).map(|held| held.stamp).unwrap_or_default();
        }
        draft
    }

    /// An own-id entry with a value that kills what was observed. Kills of more than 8,192 entries come after it, as
    /// removals.
    #[must_use]
    pub fn replace(&self, kind: &Kind, value: Value, observed: &[&Arc<Entry>]) -> Vec<Draft> {
        let mut drafts = self.removals(kind, observed);
        if drafts.is_empty() {
            drafts.push(self.draft(kind));
        }
        drafts[0].value = Some(value);
        drafts
    }

    /// Own-id operations without value that kill what was observed, at most 8,192 entries each.
    #[must_use]
    pub fn removals(&self, kind: &Kind, observed: &[&Arc<Entry>]) -> Vec<Draft> {
        let mut observed: Vec<_> = observed.iter().map(|entry| (entry.id, entry.stamp)).collect();
        observed.sort_unstable();
        observed.dedup();
        let chunks = observed.chunks(MAX_KILLS).map(|chunk| {
            let mut draft = self.draft(kind);
            draft.kills = chunk.iter().map(|(id, _)| *id).collect();
            draft.after = chunk.iter().map(|(_, stamp)| *stamp).max().unwrap_or_default();
            draft
        });
        chunks.collect()
    }

    /// Entries that still carry a value which a deletion of the field takes along. In mirror space each writer deletes
    /// what it wrote itself.
    pub(crate) fn removable(&self) -> Vec<&'a Arc<Entry>> {
        let Some(field) = self.state() else { return Vec::new() };
        let sight = field.sight();
        let mirror = self.rules().mirror;
        field
            .entries()
            .filter(|entry| entry.slot.is_own() && !entry.kind.is_kill() && matches!(entry.body, Body::Live { .. }))
            .filter(|entry| !field.is_hidden(entry) && !field.is_killed_in(&sight, entry))
            .filter(|entry| !mirror || entry.writer == self.pen.writer())
            .collect()
    }
}
